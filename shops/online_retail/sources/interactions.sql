-- One event per order line that is a purchase by a known customer of a real product; nothing else is dropped.
-- A number or time that does not parse stays in as null, so that validation sees it.
SELECT
  regexp_replace(CustomerID, '\\.0$', '')                               AS user_id,
  trim(StockCode)                                                       AS item_id,
  'purchase'                                                            AS event_type,
  to_utc_timestamp(try_to_timestamp(InvoiceDate, 'yyyy-MM-dd HH:mm:ss'), 'Europe/London') AS event_time,
  try_cast(Quantity AS DOUBLE)                                          AS value,
  try_cast(UnitPrice AS DOUBLE)                                         AS unit_price,
  Country                                                               AS country,
  InvoiceNo                                                             AS order_id
FROM orders
WHERE CustomerID IS NOT NULL                                            -- a known customer
  AND InvoiceNo NOT LIKE 'C%'                                           -- no cancellation
  AND NOT coalesce(try_cast(Quantity AS DOUBLE) <= 0, FALSE)            -- no stock correction
  AND NOT coalesce(try_cast(UnitPrice AS DOUBLE) <= 0, FALSE)           -- no gift, no write-off
  AND trim(StockCode) RLIKE '^[0-9]{5}'                                 -- no postage, fee or manual entry
