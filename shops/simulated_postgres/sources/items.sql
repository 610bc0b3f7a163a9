SELECT
  sku        AS item_id,
  name       AS title,
  category,
  price,
  in_stock   AS available,
  listed_on  AS listed_at
FROM products
WHERE listed_on < :until
