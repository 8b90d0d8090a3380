-- Keys of the API (access tokens). Times are milliseconds since 1970.

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,                 -- whom or what it is for
    digest       TEXT NOT NULL UNIQUE,          -- SHA-256 of the key; the key is never stored
    scopes       TEXT NOT NULL,                 -- JSON ["answer", …]
    models       TEXT NOT NULL,                 -- JSON; empty for all
    allowance    TEXT NOT NULL,                 -- JSON Allowance
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER,
    revoked_ms   INTEGER,
    last_used_ms INTEGER
);

-- What was asked with a key on a day, by UTC.
CREATE TABLE token_use (
    token         TEXT NOT NULL REFERENCES tokens (id),
    day           INTEGER NOT NULL,             -- days since 1970
    requests      INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    answer_tokens INTEGER NOT NULL,
    PRIMARY KEY (token, day)
);
