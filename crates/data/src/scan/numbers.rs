//! Numbers that stand for a person: 身份证 (GB 11643), telephone numbers, bank cards (ISO/IEC 7812).

use std::sync::LazyLock;

use regex::Regex;

/// The longest number that is looked at, in digits.
const DIGITS_MAX: usize = 19;

/// The first two digits of a 身份证: the provinces (GB/T 2260), and 91 for abroad.
const PROVINCES: [&str; 35] = [
    "11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37", "41",
    "42", "43", "44", "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65", "71",
    "81", "82", "91",
];

/// Groups of digits that single spaces or hyphens join.
static GROUPS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[0-9]+(?:[ -][0-9]+)*[Xx]?").expect("a sound pattern"));

/// Fixed lines of China with their area code, and numbers as North America writes them.
static LANDLINES: LazyLock<Regex> = LazyLock::new(|| {
    let china = r"\(?0(?:10|2[0-9]|[3-9][0-9]{2})\)?[ -]?[2-9][0-9]{6,7}";
    let america = r"\(?[2-9][0-9]{2}\)?[ .-][2-9][0-9]{2}[.-][0-9]{4}";
    let world = r"\+[1-9][0-9]{0,2}(?:[ -]?\(?[0-9]{1,4}\)?){2,5}";
    Regex::new(&format!(
        r"(?:^|[^0-9A-Za-z])(?:{china}|{america}|{world})(?:$|[^0-9A-Za-z])"
    ))
    .expect("a sound pattern")
});

/// Whether a number of the text is a 身份证: province, a day that exists, and the checksum hold.
pub(super) fn has_id_card(text: &str) -> bool {
    any(text, is_id_card)
}

/// Whether a number of the text is a mobile number of China, or a fixed line with its area code.
pub(super) fn has_phone(text: &str) -> bool {
    any(text, is_mobile)
        || LANDLINES.find_iter(text).any(|found| {
            let digits = found.as_str().bytes().filter(u8::is_ascii_digit).count();
            (9..=15).contains(&digits)
        })
}

/// Whether a number of the text has a bank card's length and beginning, and Luhn's checksum holds.
pub(super) fn has_bank_card(text: &str) -> bool {
    any(text, |number| is_bank_card(number) && !is_id_card(number))
}

/// The first number of the text, as it is written, for which `holds`.
pub(super) fn first(text: &str, holds: impl Fn(&str) -> bool) -> Option<&str> {
    let numbers = GROUPS.find_iter(text).map(|found| found.as_str());
    numbers.into_iter().find(|number| holds(number))
}

/// Whether `rule` holds for a number of the text, or for neighbouring groups of one read together.
fn any(text: &str, rule: impl Fn(&str) -> bool) -> bool {
    GROUPS.find_iter(text).any(|found| {
        if is_part_of_more(text, found.start(), found.end()) {
            return false;
        }
        let groups: Vec<&str> = found.as_str().split([' ', '-']).collect();
        groups.iter().any(|group| rule(group)) || joined(&groups, &rule)
    })
}

/// Whether the number goes on as a word or as a decimal.
fn is_part_of_more(text: &str, start: usize, end: usize) -> bool {
    let before = &text.as_bytes()[..start];
    let word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
    let decimal = before.last() == Some(&b'.')
        && before.len() > 1
        && before[before.len() - 2].is_ascii_digit();
    word(before.last()) || decimal || word(text.as_bytes().get(end))
}

/// Whether `rule` holds for two to five neighbouring groups of up to 8 digits, as people write long
/// numbers.
fn joined(groups: &[&str], rule: &impl Fn(&str) -> bool) -> bool {
    for start in 0..groups.len() {
        let mut number = String::new();
        for (taken, group) in groups[start..].iter().enumerate().take(5) {
            if group.len() > 8 {
                break;
            }
            number.push_str(group);
            if number.len() > DIGITS_MAX {
                break;
            }
            if taken > 0 && rule(&number) {
                return true;
            }
        }
    }
    false
}

fn is_mobile(number: &str) -> bool {
    let national = match number.len() {
        13 => number.strip_prefix("86"),
        15 => number.strip_prefix("0086"),
        _ => Some(number),
    };
    national.is_some_and(|it| {
        it.len() == 11
            && it.bytes().all(|byte| byte.is_ascii_digit())
            && it.starts_with('1')
            && matches!(it.as_bytes()[1], b'3'..=b'9')
    })
}

fn is_id_card(number: &str) -> bool {
    /// GB 11643-1999: the weights of the first 17 digits, and the check character by remainder.
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: &[u8; 11] = b"10X98765432";
    let bytes = number.as_bytes();
    if bytes.len() != 18 || !PROVINCES.contains(&&number[..2]) || !is_day(&number[6..14]) {
        return false;
    }
    let mut sum = 0;
    for (byte, weight) in bytes.iter().zip(WEIGHTS) {
        if !byte.is_ascii_digit() {
            return false;
        }
        sum += u32::from(byte - b'0') * weight;
    }
    bytes[17].to_ascii_uppercase() == CHECKS[(sum % 11) as usize]
}

/// Whether eight digits are a day of 1900 to 2099.
fn is_day(digits: &str) -> bool {
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<u32>().ok();
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(4..6), number(6..8)) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1900..2100).contains(&year) && (1..=days).contains(&day)
}

fn is_bank_card(number: &str) -> bool {
    let length_fits = match number.len() {
        15 => number.starts_with("34") || number.starts_with("37"),
        16..=DIGITS_MAX => number.starts_with(['3', '4', '5', '6', '9']),
        _ => false,
    };
    length_fits && number.bytes().all(|byte| byte.is_ascii_digit()) && luhn(number)
}

/// ISO/IEC 7812-1, annex B: every second digit from the right doubled, the sum a multiple of ten.
fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            match place % 2 {
                0 => digit,
                _ if digit > 4 => 2 * digit - 9,
                _ => 2 * digit,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GB 11643-1999 itself, and the test numbers that payment networks publish.
    #[test]
    fn published_numbers_hold() {
        assert!(is_id_card("11010519491231002X"));
        assert!(is_id_card("440524188001010014") == is_day("18800101"));
        for card in [
            "4111111111111111",
            "5555555555554444",
            "378282246310005",
            "6011111111111117",
            "3530111333300000",
        ] {
            assert!(is_bank_card(card), "{card}");
        }
        assert!(!is_id_card("110105194912310021"));
        assert!(!is_bank_card("4111111111111112"));
    }

    #[test]
    fn numbers_are_found_as_people_write_them() {
        let phone = |text: &str| has_phone(text);
        for text in [
            "电话13812345678",
            "手机：138 1234 5678。",
            "+86 138-1234-5678",
            "8613812345678",
            "010-62345678 转 3",
            "(0571)87654321",
            "call (212) 555-0187 now",
            "+44 20 7946 0958",
        ] {
            assert!(phone(text), "{text}");
        }
        for text in [
            "订单 20260138123456789",
            "SN13812345678",
            "0.13812345678",
            "12812345678",
            "2014-06-01 10:20",
            "MIL-STD 810",
            "1,234,567.89",
        ] {
            assert!(!phone(text), "{text}");
        }
        assert!(has_id_card("身份证号11010519491231002x，"));
        assert!(has_id_card("110105 19491231 002X"));
        assert!(has_bank_card("卡号 4111 1111 1111 1111 到期"));
        assert!(!has_bank_card("11010519491231002X"));
    }
}
