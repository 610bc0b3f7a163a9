SELECT
  customer   AS user_id,
  consent,
  country,
  registered_on
FROM customers
WHERE registered_on < :until
