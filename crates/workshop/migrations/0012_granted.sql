-- What members do in a project by their groups where they sign in: it comes and goes with those, at each login.

ALTER TABLE members ADD COLUMN granted TEXT NOT NULL DEFAULT '[]';  -- JSON ["tuner", …]
