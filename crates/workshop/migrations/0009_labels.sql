-- What versions of registered models are called beside their number. Those that mean "this one answers" are
-- not here: the ledger says what answers.

CREATE TABLE labels (
    name   TEXT NOT NULL,                       -- the registered model
    label  TEXT NOT NULL COLLATE NOCASE,
    model  TEXT NOT NULL,                       -- the digest of the version
    set_ms INTEGER NOT NULL,                    -- milliseconds since 1970
    PRIMARY KEY (name, label)
);
