-- What lists of orders are read from: they never touch an order's pack, which is large.
CREATE INDEX orders_listed ON orders (id, state, pack, title_en, title_zh, demonstration,
                                      created_ms, ended_ms, deployment);
-- Models and datasets, as their lists are ordered.
CREATE INDEX datasets_by_time ON datasets (created_ms DESC, digest);
CREATE INDEX models_by_time ON models (created_ms DESC, digest);
