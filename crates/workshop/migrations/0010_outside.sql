-- Whence people are who have no password here: the way they sign in by, and who they are there.

ALTER TABLE people ADD COLUMN origin_kind TEXT;     -- oidc, ldap; NULL for a person of the workshop
ALTER TABLE people ADD COLUMN origin_way TEXT;      -- the name of the way in sign-in.yaml
ALTER TABLE people ADD COLUMN origin_subject TEXT;  -- the provider's `sub`, or the directory's name of the entry

-- The same subject is always the same person.
CREATE UNIQUE INDEX people_origin ON people (origin_way, origin_subject) WHERE origin_way IS NOT NULL;
