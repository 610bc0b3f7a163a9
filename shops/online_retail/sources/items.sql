-- The shop keeps no catalogue, so it is read off the orders before :until: the newest title and price of each product.
WITH lines AS (
  SELECT
    trim(StockCode)                                                     AS item_id,
    nullif(trim(Description), '')                                       AS title,
    try_cast(UnitPrice AS DOUBLE)                                       AS price,
    to_utc_timestamp(try_to_timestamp(InvoiceDate, 'yyyy-MM-dd HH:mm:ss'), 'Europe/London') AS sold_at
  FROM all_orders
  WHERE trim(StockCode) RLIKE '^[0-9]{5}'
    AND CustomerID IS NOT NULL                                          -- lines without a customer carry stock notes
    AND InvoiceNo NOT LIKE 'C%'
    AND try_cast(Quantity AS DOUBLE) > 0
    AND try_cast(UnitPrice AS DOUBLE) > 0
)
SELECT
  item_id,
  max_by(title, sold_at) FILTER (WHERE title IS NOT NULL)               AS title,
  CAST(NULL AS STRING)                                                  AS category,
  max_by(price, sold_at)                                                AS price,
  TRUE                                                                  AS available,
  min(sold_at)                                                          AS listed_at
FROM lines
WHERE sold_at < :until
GROUP BY item_id
