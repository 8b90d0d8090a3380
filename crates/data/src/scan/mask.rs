//! A finding as it may be shown: enough to find it in the file, too little to use it.

use unicode_normalization::UnicodeNormalization;

use super::{numbers, words};

/// Letters and digits of a number that stay at its beginning and end.
const FIRST_SHOWN: usize = 3;
const LAST_SHOWN: usize = 2;

/// What of `text` is of this kind, masked; empty for names and addresses, which have no form to cut.
pub fn masked(kind: &str, text: &str) -> String {
    let text: String = text.nfkc().collect();
    let found = match kind {
        "id-card" => numbers::first(&text, numbers::has_id_card),
        "phone" => numbers::first(&text, numbers::has_phone),
        "bank-card" => numbers::first(&text, numbers::has_bank_card),
        "e-mail" => return words::first_e_mail(&text).map_or_else(String::new, e_mail),
        _ => None,
    };
    found.map_or_else(String::new, number)
}

fn number(found: &str) -> String {
    let count = found.chars().count();
    let shown = |at: usize| at < FIRST_SHOWN || at + LAST_SHOWN >= count;
    let letters = found.chars().enumerate();
    let mask = |(at, letter): (usize, char)| {
        if shown(at) || !letter.is_ascii_alphanumeric() {
            letter
        } else {
            '•'
        }
    };
    letters.map(mask).collect()
}

fn e_mail(found: &str) -> String {
    let (name, host) = found.split_once('@').unwrap_or((found, ""));
    let first: String = name.chars().take(1).collect();
    format!("{first}•••@{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_finding_cannot_be_used() {
        for (kind, text, shown) in [
            ("phone", "请打 13800138000 找我", "138••••••00"),
            ("id-card", "11010519491231002X", "110•••••••••••••2X"),
            ("bank-card", "4111 1111 1111 1111", "411• •••• •••• ••11"),
            ("e-mail", "write to li.lei@example.com", "l•••@example.com"),
            ("name", "我叫李雷", ""),
        ] {
            assert_eq!(masked(kind, text), shown, "{kind}");
        }
    }
}
