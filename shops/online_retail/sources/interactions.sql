-- One event per order line of a known customer and a real product, bought or taken back; nothing else is dropped.
-- A number or time that does not parse stays in as null, so that validation sees it. Times are those of the shop's
-- clock (see time_zone in shop.toml), so they are given without a zone.
SELECT
  regexp_replace(CustomerID, '\\.0$', '')                               AS user_id,
  trim(StockCode)                                                       AS item_id,
  CASE WHEN InvoiceNo LIKE 'C%' THEN 'cancellation' ELSE 'purchase' END AS event_type,
  CAST(try_to_timestamp(InvoiceDate, 'yyyy-MM-dd HH:mm:ss') AS TIMESTAMP_NTZ) AS event_time,
  -- A cancellation carries the quantity that it takes back, below zero.
  try_cast(Quantity AS DOUBLE) * CASE WHEN InvoiceNo LIKE 'C%' THEN -1 ELSE 1 END AS value,
  try_cast(UnitPrice AS DOUBLE)                                         AS unit_price,
  Country                                                               AS country,
  InvoiceNo                                                             AS order_id
FROM orders
WHERE CustomerID IS NOT NULL                                            -- a known customer
  AND NOT coalesce(try_cast(Quantity AS DOUBLE) <= 0 AND InvoiceNo NOT LIKE 'C%', FALSE) -- no stock correction
  AND NOT coalesce(try_cast(UnitPrice AS DOUBLE) <= 0, FALSE)           -- no gift, no write-off
  AND coalesce(trim(StockCode) RLIKE '^[0-9]{5}', TRUE)                 -- no postage, fee or manual entry; null is set apart
