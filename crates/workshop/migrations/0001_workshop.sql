-- The store of a workshop. Times are milliseconds since 1970, digests SHA-256 in hex.

CREATE TABLE orders (
    id            TEXT PRIMARY KEY,             -- UUIDv7: sorts by time
    pack          TEXT NOT NULL,                -- the pack's name
    title_en      TEXT NOT NULL,
    title_zh      TEXT NOT NULL,
    demonstration INTEGER NOT NULL,             -- made by --quick
    offline       INTEGER NOT NULL,
    folder        TEXT NOT NULL,                -- the pack's folder, outside the home: for its relative file: sources
    pack_sha256   TEXT NOT NULL,                -- of pack.yaml as written
    spec          TEXT NOT NULL,                -- the effective pack (overlay applied), JSON
    state         TEXT NOT NULL,
    created_ms    INTEGER NOT NULL,
    ended_ms      INTEGER,
    deployment    TEXT                          -- the name under /v1, once deployed
);
CREATE INDEX orders_by_state ON orders (state, id);

CREATE TABLE steps (
    order_id   TEXT NOT NULL REFERENCES orders (id),
    name       TEXT NOT NULL,
    position   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    input      TEXT,                            -- with name: the key of its effect
    error      TEXT,                            -- JSON {code, text, next}
    started_ms INTEGER,
    ended_ms   INTEGER,
    PRIMARY KEY (order_id, name)
);

-- What a step did, keyed by the digest of all it depends on.
CREATE TABLE effects (
    step       TEXT NOT NULL,
    input      TEXT NOT NULL,
    order_id   TEXT NOT NULL REFERENCES orders (id),   -- the order that did it
    output     TEXT NOT NULL,                   -- JSON {figure, figures, facts}
    artifact   TEXT REFERENCES artifacts (digest),
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (step, input)
);

CREATE TABLE artifacts (
    digest     TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,                   -- the step that made it
    manifest   TEXT NOT NULL,                   -- JSON {files: [{path, size, sha256}]}
    bytes      INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
);

CREATE TABLE datasets (
    digest        TEXT PRIMARY KEY REFERENCES artifacts (digest),
    name          TEXT NOT NULL,
    root          TEXT NOT NULL,
    source        TEXT NOT NULL,
    licence       TEXT NOT NULL,
    owner         TEXT NOT NULL,
    demonstration INTEGER NOT NULL,
    card          TEXT NOT NULL,                -- dataset.json
    created_ms    INTEGER NOT NULL
);

CREATE TABLE models (
    digest        TEXT PRIMARY KEY REFERENCES artifacts (digest),
    kind          TEXT NOT NULL,                -- base or tuned
    name          TEXT NOT NULL,
    source        TEXT NOT NULL,
    licence       TEXT NOT NULL,
    owner         TEXT NOT NULL,
    bytes         INTEGER NOT NULL,
    demonstration INTEGER NOT NULL,
    created_ms    INTEGER NOT NULL
);

CREATE TABLE reports (
    digest     TEXT PRIMARY KEY REFERENCES artifacts (digest),
    order_id   TEXT NOT NULL REFERENCES orders (id),
    report     TEXT NOT NULL,                   -- the report as written, JSON
    created_ms INTEGER NOT NULL
);

CREATE TABLE deployments (
    name          TEXT PRIMARY KEY,
    input         TEXT NOT NULL,                -- the deploy step's input digest
    order_id      TEXT NOT NULL REFERENCES orders (id),
    base          TEXT NOT NULL REFERENCES artifacts (digest),
    adapter       TEXT REFERENCES artifacts (digest),
    report        TEXT NOT NULL REFERENCES reports (digest),
    policy        TEXT NOT NULL,                -- the pack's gate section, JSON
    task          TEXT NOT NULL,                -- JSON {system, examples, schema}
    demonstration INTEGER NOT NULL,
    created_ms    INTEGER NOT NULL
);

CREATE TABLE curve (
    order_id TEXT NOT NULL REFERENCES orders (id),
    step     INTEGER NOT NULL,
    point    TEXT NOT NULL,                     -- JSON CurvePoint
    PRIMARY KEY (order_id, step)
);

CREATE TABLE log (
    order_id TEXT NOT NULL REFERENCES orders (id),
    seq      INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    step     TEXT NOT NULL,
    text     TEXT NOT NULL,
    PRIMARY KEY (order_id, seq)
);
