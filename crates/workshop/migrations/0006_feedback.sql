-- What people say of answers, and the dataset versions made of it. Times are milliseconds since 1970.

CREATE TABLE feedback (
    id            TEXT PRIMARY KEY,             -- fb-UUIDv7: sorts by time
    receipt       TEXT NOT NULL REFERENCES receipts (id),
    name          TEXT NOT NULL,                -- the name that answered
    deployment    TEXT NOT NULL,                -- the link of the deployment that answered
    kind          TEXT NOT NULL,                -- correction, complaint
    state         TEXT NOT NULL,                -- received, accepted, rejected
    digest        TEXT NOT NULL UNIQUE,         -- of all that was given: the same is kept once
    token         TEXT NOT NULL,                -- the id of the key it came with; empty without one
    owner         TEXT NOT NULL,                -- that key's name
    sender        TEXT,                         -- a short label of the caller's own
    reason        TEXT,
    prompt        TEXT,                         -- of a correction: the messages as canonical JSON
    correction    TEXT,                         -- the right answer
    created_ms    INTEGER NOT NULL,
    reviewed_ms   INTEGER,
    reviewer      TEXT,                         -- who accepted or rejected it
    review_reason TEXT
);
CREATE INDEX feedback_by_receipt ON feedback (receipt);
CREATE INDEX feedback_by_state ON feedback (state, id);

-- Dataset versions made of accepted corrections, and the file that each was read from.
CREATE TABLE feedback_versions (
    digest      TEXT PRIMARY KEY REFERENCES datasets (digest),
    name        TEXT NOT NULL,                  -- the dataset's name
    of_name     TEXT,                           -- the one name whose answers were corrected; all without it
    file        TEXT NOT NULL REFERENCES artifacts (digest),
    corrections INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL
);
CREATE INDEX feedback_versions_by_name ON feedback_versions (name, created_ms);
