//! Takes `{% generation %}` out of a template.
//!
//! With this tag and `{% endgeneration %}` some templates mark for `transformers` what the assistant
//! says. It changes no text, and minijinja does not know it.

/// The source with each mark turned into a block that always runs, whose dashes trim as before.
pub(super) fn unmark(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (text, tag) = rest.split_at(start);
        let (tag, after) = tag.split_at(tag.find("%}").map_or(tag.len(), |end| end + 2));
        plain.push_str(text);
        match marker(tag) {
            Some((open, "generation", close)) => plain.extend([open, " if true ", close]),
            Some((open, "endgeneration", close)) => plain.extend([open, " endif ", close]),
            _ => plain.push_str(tag),
        }
        rest = after;
    }
    plain.push_str(rest);
    plain
}

/// A block tag as its opening, the words inside, and its closing.
fn marker(tag: &str) -> Option<(&str, &str, &str)> {
    let inside = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let words = inside.trim_start_matches(['-', '+']);
    let (open, rest) = tag.split_at(tag.len() - 2 - words.len());
    let words = words.trim_end_matches(['-', '+']);
    Some((open, words.trim(), &rest[words.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_tags_stay_as_they_are() {
        for source in [
            "plain { text } and {%",
            "{% for m in messages %}{{ m['generation'] }}{% endfor %}",
            "{% raw",
            "é{%- if x -%}ü{%+ endif %}{",
            "{%-%}{%%}",
        ] {
            assert_eq!(unmark(source), source);
        }
    }

    #[test]
    fn marks_become_blocks_that_always_run() {
        let marked = "a {%- generation -%} b {% endgeneration %} c";
        assert_eq!(unmark(marked), "a {%- if true -%} b {% endif %} c");
    }
}
