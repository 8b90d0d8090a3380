-- Evidence: the ledger, its checkpoints, receipts and breakers.
-- Times are milliseconds since 1970, digests SHA-256 in hex.

CREATE TABLE ledger (
    seq      INTEGER PRIMARY KEY,               -- from 0, without gaps
    kind     TEXT NOT NULL,                     -- the predicate's name
    subject  TEXT NOT NULL,                     -- the first subject's digest
    link     TEXT NOT NULL UNIQUE,              -- the leaf hash of the envelope
    envelope BLOB NOT NULL,                     -- DSSE, verbatim
    at_ms    INTEGER NOT NULL
);
CREATE INDEX ledger_by_subject ON ledger (kind, subject, seq);

-- One signed note for each transaction that added to the ledger.
CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    root TEXT NOT NULL,
    note TEXT NOT NULL
);

CREATE TABLE receipts (
    id          TEXT PRIMARY KEY,               -- UUIDv7: sorts by time
    state       TEXT NOT NULL,                  -- open, closed
    name        TEXT NOT NULL,
    deployment  TEXT NOT NULL,                  -- the link of the deployment that answered
    opening     TEXT NOT NULL,                  -- JSON: what was known when it was opened
    opened_ms   INTEGER NOT NULL,
    closed_ms   INTEGER,
    bytes       BLOB,                           -- the canonical receipt, once closed
    leaf        TEXT,                           -- its leaf hash
    batch       INTEGER REFERENCES batches (batch),
    position    INTEGER,                        -- in the batch, from 0
    prompt_text TEXT,                           -- only under a retention
    answer_text TEXT
);
CREATE INDEX receipts_by_state ON receipts (state) WHERE state = 'open';
CREATE INDEX receipts_unbatched ON receipts (closed_ms, id) WHERE state = 'closed' AND batch IS NULL;
CREATE INDEX receipts_by_batch ON receipts (batch, position);
CREATE INDEX receipts_by_deployment ON receipts (deployment, id);

CREATE TABLE batches (
    batch INTEGER PRIMARY KEY,                  -- from 1, without gaps
    root  TEXT NOT NULL,
    count INTEGER NOT NULL,
    link  TEXT NOT NULL,                        -- its statement
    at_ms INTEGER NOT NULL
);

-- Hashes of what answers say, by which a quoted passage is found.
CREATE TABLE shingles (
    hash    INTEGER NOT NULL,
    receipt TEXT NOT NULL REFERENCES receipts (id),
    PRIMARY KEY (hash, receipt)
) WITHOUT ROWID;

CREATE TABLE breakers (
    name     TEXT PRIMARY KEY,
    state    TEXT NOT NULL,
    cause    TEXT NOT NULL,
    reason   TEXT NOT NULL,
    since_ms INTEGER NOT NULL
);

-- Registrations that wait for somebody's approval.
CREATE TABLE pending (
    number   TEXT PRIMARY KEY,
    name     TEXT NOT NULL,
    model    TEXT NOT NULL,
    verdict  TEXT NOT NULL,                     -- the link of the verdict to be read
    order_id TEXT NOT NULL REFERENCES orders (id),
    at_ms    INTEGER NOT NULL
);

-- The statement of the deployment; absent in rows from before there was a ledger.
ALTER TABLE deployments ADD COLUMN link TEXT;
