-- The audit of one person, and what was refused, found without looking through the other rows.
CREATE INDEX audit_by ON audit (by_whom);
CREATE INDEX audit_refused ON audit (by_whom) WHERE outcome <> 'done' AND outcome NOT GLOB '[23]*';
CREATE INDEX audit_refused_all ON audit (id) WHERE outcome <> 'done' AND outcome NOT GLOB '[23]*';
