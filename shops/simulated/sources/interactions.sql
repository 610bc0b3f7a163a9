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
-- The folder of a day is named by it, so Spark opens only the asked days.
WHERE day >= to_date(:since) AND day <= to_date(:until)
