-- Files and jobs of the API of OpenAI's shape. Times are milliseconds since 1970.

CREATE TABLE files (
    id         TEXT PRIMARY KEY,                -- file-UUIDv7: sorts by time
    name       TEXT NOT NULL,                   -- as the caller named it, made a plain name
    bytes      INTEGER NOT NULL,
    records    INTEGER NOT NULL,
    form       TEXT NOT NULL,                   -- "messages" or "preference"
    artifact   TEXT NOT NULL REFERENCES artifacts (digest),
    owner      TEXT NOT NULL,                   -- the name of the key it was handed over with
    created_ms INTEGER NOT NULL
);

-- What was asked of an order that came as a job.
CREATE TABLE jobs (
    order_id TEXT PRIMARY KEY REFERENCES orders (id),
    asked    TEXT NOT NULL                      -- JSON Asked
);
