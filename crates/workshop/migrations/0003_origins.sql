-- Where a cloned order comes from: JSON {order, changes}; absent in all others.
ALTER TABLE orders ADD COLUMN origin TEXT;
