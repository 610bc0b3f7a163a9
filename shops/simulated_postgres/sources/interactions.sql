SELECT
  customer                AS user_id,
  sku                     AS item_id,
  action                  AS event_type,
  happened_at             AS event_time,
  CAST(quantity AS DOUBLE) AS value,
  unit_price,
  country,
  device
FROM events
