//! What a provider says of somebody, as far as it is used here: bytes from outside, within bounds.
//!
//! Whether it is true, the library has decided before: signature, issuer, audience, nonce and end.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{GROUP_BYTES_MAX, GROUPS_MAX};

/// The longest ID token.
pub(super) const TOKEN_BYTES_MAX: usize = 256 << 10;

/// The claims of a token whose signature holds; none where they are no JSON object.
pub(super) fn of_token(token: &str) -> Option<Map<String, Value>> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let payload = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Reads outside bytes as the claims of a token; for fuzzing.
#[cfg(feature = "oidc")]
pub fn fuzz_claims(bytes: &[u8]) {
    let token = format!("e30.{}.AAAA", URL_SAFE_NO_PAD.encode(bytes));
    if let Some(claims) = of_token(&token) {
        let _ = groups(&claims, "groups");
        let _ = groups(&claims, "realm_access.roles");
        let _ = text(&claims, "preferred_username");
    }
}

/// The claim of this name; where there is none, what stands below its parts: `realm_access.roles`.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    claim(claims.get(first)?.as_object()?, rest)
}

/// A text; empty where there is none.
pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> &'a str {
    let text = claim(claims, name).and_then(Value::as_str);
    text.unwrap_or_default()
}

/// A list of texts, or one; none where there are more than can be looked at. What is no text, or too long to be
/// a group that anybody named, is left out.
pub(super) fn groups(claims: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    let all = match claim(claims, name) {
        Some(Value::Array(all)) => all.as_slice(),
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        _ => &[],
    };
    if all.len() > GROUPS_MAX {
        return None;
    }
    let texts = all.iter().filter_map(Value::as_str);
    let short = texts.filter(|it| it.len() <= GROUP_BYTES_MAX);
    Some(short.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    fn token(payload: &[u8]) -> String {
        format!("e30.{}.AAAA", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn claims_are_found_by_name_and_by_path() {
        let claims = object(
            r#"{"groups": ["a", 7, "b"], "realm_access": {"roles": ["c"]}, "https://example.org/groups": "d",
                "name": "Anna", "sub": {"x": 1}}"#,
        );
        assert_eq!(groups(&claims, "groups").unwrap(), ["a", "b"]);
        assert_eq!(groups(&claims, "realm_access.roles").unwrap(), ["c"]);
        assert_eq!(
            groups(&claims, "https://example.org/groups").unwrap(),
            ["d"]
        );
        for none in [
            "nothing",
            "realm_access",
            "realm_access.x",
            "name.x",
            "",
            ".",
            "groups.",
        ] {
            assert!(groups(&claims, none).unwrap().is_empty(), "{none}");
        }
        assert_eq!(text(&claims, "name"), "Anna");
        assert_eq!(text(&claims, "sub"), "");
    }

    #[test]
    fn claims_are_bounded_in_size_and_groups_in_number() {
        let many = |count: usize| {
            let groups: Vec<String> = (0..count).map(|at| at.to_string()).collect();
            object(&serde_json::json!({ "groups": groups }).to_string())
        };
        assert_eq!(
            groups(&many(GROUPS_MAX), "groups").unwrap().len(),
            GROUPS_MAX
        );
        assert_eq!(groups(&many(GROUPS_MAX + 1), "groups"), None);
        let long = serde_json::json!({ "groups": ["x".repeat(GROUP_BYTES_MAX + 1), "y"] });
        assert_eq!(groups(&object(&long.to_string()), "groups").unwrap(), ["y"]);
        let padded =
            |bytes: usize| token(format!("{{\"x\":\"{}\"}}", "x".repeat(bytes)).as_bytes());
        assert!(of_token(&padded(1000)).is_some());
        assert!(of_token(&padded(TOKEN_BYTES_MAX)).is_none());
    }

    #[test]
    fn whatever_the_bytes_are_they_are_read_or_refused() {
        let whole = token(br#"{"sub": "1", "groups": ["a"], "realm_access": {"roles": []}}"#);
        for end in 0..=whole.len() {
            let _ = of_token(&whole[..end]);
        }
        // Seeded: the same bytes each time.
        let mut state: u64 = 7;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        };
        for length in 0..400 {
            let payload: Vec<u8> = (0..length).map(|_| next()).collect();
            if let Some(claims) = of_token(&token(&payload)) {
                let _ = groups(&claims, "groups");
            }
            let mut bytes = whole.clone().into_bytes();
            let at = length % bytes.len();
            bytes[at] = next() & 0x7f;
            if let Some(claims) = std::str::from_utf8(&bytes).ok().and_then(of_token) {
                let _ = groups(&claims, "realm_access.roles");
            }
        }
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        assert!(of_token(&token(format!("{{\"x\":{deep}}}").as_bytes())).is_none());
    }
}
