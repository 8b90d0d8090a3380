-- People, where they are logged in, and what was decided. Times are milliseconds since 1970.

CREATE TABLE people (
    name        TEXT PRIMARY KEY,               -- what one logs in with
    display     TEXT NOT NULL,                  -- what people call them
    password    TEXT NOT NULL,                  -- argon2id in PHC form; the password is never stored
    roles       TEXT NOT NULL,                  -- JSON ["tuner", …]
    denied      TEXT NOT NULL,                  -- JSON ["ask", …]: rights they never have
    created_ms  INTEGER NOT NULL,
    password_ms INTEGER NOT NULL,               -- when the password was last set
    disabled_ms INTEGER
);

CREATE TABLE sessions (
    digest     TEXT PRIMARY KEY,                -- SHA-256 of the cookie; the cookie is never stored
    person     TEXT NOT NULL REFERENCES people (name),
    agent      TEXT NOT NULL,                   -- the browser, as it calls itself
    created_ms INTEGER NOT NULL,
    seen_ms    INTEGER NOT NULL                 -- at most a minute old
);

-- Who placed an order: whoever did cannot approve what comes of it.
CREATE TABLE order_authors (
    order_id TEXT PRIMARY KEY REFERENCES orders (id),
    by_whom  TEXT NOT NULL                      -- as the audit names them
);

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms   INTEGER NOT NULL,
    event   TEXT NOT NULL,                      -- request, operation, refused, login, …
    by_whom TEXT NOT NULL,                      -- empty where nobody is known
    what    TEXT NOT NULL,                      -- method and path, or the operation
    outcome TEXT NOT NULL                       -- a status, or the code of the reason
);
