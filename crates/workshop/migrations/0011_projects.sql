-- Projects: what belongs together, and who may do what with it. Times are milliseconds since 1970.

CREATE TABLE projects (
    id         TEXT PRIMARY KEY,                -- what the names of its models begin with, before a dot
    name       TEXT NOT NULL,                   -- what people call it
    created_ms INTEGER NOT NULL
);

-- The common one: all that was here before belongs to it, and what names no other.
INSERT INTO projects (id, name, created_ms) VALUES ('common', 'common', 0);

CREATE TABLE members (
    project TEXT NOT NULL REFERENCES projects (id),
    person  TEXT NOT NULL REFERENCES people (name),
    roles   TEXT NOT NULL,                      -- JSON ["tuner", …]: what they do there
    denied  TEXT NOT NULL,                      -- JSON ["ask", …]: rights they never have there
    PRIMARY KEY (project, person)
);

-- To which projects a thing belongs that is known by its content, and so may be made in several: datasets,
-- models and every other artifact; files that were brought or handed over, too.
CREATE TABLE belongs (
    thing   TEXT NOT NULL,                      -- a digest, or the id of a file
    project TEXT NOT NULL REFERENCES projects (id),
    PRIMARY KEY (thing, project)
) WITHOUT ROWID;
INSERT INTO belongs (thing, project) SELECT digest, 'common' FROM artifacts;
INSERT INTO belongs (thing, project) SELECT id, 'common' FROM files;

ALTER TABLE orders ADD COLUMN project TEXT NOT NULL DEFAULT 'common';
ALTER TABLE tokens ADD COLUMN project TEXT NOT NULL DEFAULT 'common';
-- In which project it was decided; NULL for the whole workshop.
ALTER TABLE audit ADD COLUMN project TEXT;

DROP INDEX orders_listed;
CREATE INDEX orders_listed ON orders (id, project, state, pack, title_en, title_zh, demonstration,
                                      created_ms, ended_ms, deployment);
-- What lists of answers are narrowed to the projects of their names by, without reading the answers.
CREATE INDEX receipts_named ON receipts (id, name) WHERE state = 'closed';
