//! Names, addresses and e-mail addresses: by their form and the words around them.

use std::sync::LazyLock;

use regex::Regex;

/// Chinese family names, longest first so that 欧阳 is not read as 欧.
static SURNAMES: LazyLock<String> =
    LazyLock::new(|| alternation(include_str!("../../data/surnames.txt")));

/// Given names frequent in English texts.
static GIVEN_NAMES: LazyLock<String> =
    LazyLock::new(|| alternation(include_str!("../../data/given-names.txt")));

static E_MAIL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}")
});

/// A Chinese name after a word that announces one, or before a title.
static CHINESE_NAME: LazyLock<Regex> = LazyLock::new(|| {
    let name = format!(r"(?:{})[\p{{Han}}--的了是在很就都也不]{{1,2}}", *SURNAMES);
    let label =
        "姓名|联系人|收件人|收货人|患者|病人|申请人|户名|经办人|家属|投保人|被保险人|当事人";
    let says = "我叫|我是|本人|名叫|叫做";
    let end = r"(?:[，。；、！,.;!\s)）]|$|住|电话|手机|身份证|女士|先生)";
    let title = "先生|女士|小姐|医生|大夫|老师|经理|主任|教授|护士|律师|师傅|同志";
    pattern(&format!(
        r"(?:{label})\s*[::：为是]?\s*{name}|(?:{says}){name}{end}|{name}(?:{title})"
    ))
});

/// An English name after a title or a word that announces one, or a frequent given name before a
/// family name.
static ENGLISH_NAME: LazyLock<Regex> = LazyLock::new(|| {
    let titled = r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.?\s+[A-Z][a-z]+";
    let label = r"(?:[Mm]y name is|[Nn]ame:|[Pp]atient:|[Cc]ontact:|[Rr]egards,|[Ss]incerely,)";
    let announced = format!(r"{label}\s*[A-Z][a-z]+\s+[A-Z][a-z]+");
    let known = format!(
        r"\b(?:{})\s+(?:[A-Z]\.\s+)?[A-Z][a-z]{{2,}}\b",
        *GIVEN_NAMES
    );
    pattern(&format!("{titled}|{announced}|{known}"))
});

/// A road with a house number, a building with a door, or a chain of places down to a street.
static CHINESE_ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    let number = "[0-9一二三四五六七八九十百]{1,5}";
    let road = format!(r"\p{{Han}}{{1,10}}(?:路|街|大道|巷|弄|胡同|里)\s*{number}\s*(?:号|弄)");
    let door = format!(
        r"{number}\s*(?:号楼|栋|幢|座).{{0,4}}?(?:{number}\s*单元)?\s*{number}\s*(?:室|房|户)"
    );
    let chain =
        r"(?:省|自治区|市)\p{Han}{1,8}(?:区|县|旗|市)\p{Han}{1,12}(?:路|街|大道|镇|乡|村|街道)";
    pattern(&format!("{road}|{door}|{chain}"))
});

/// A house number before a street, or a post box.
static ENGLISH_ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    let kind = "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Court|Square|Terrace|Highway|Hwy|Place|Way";
    pattern(&format!(
        r"\b[0-9]{{1,5}}[A-Za-z]?,?\s+(?:[NSEW]\.?\s+)?(?:[A-Z][a-z]+\s+|[0-9]{{1,3}}(?:st|nd|rd|th)\s+){{1,3}}(?:{kind})\b|\bP\.?\s?O\.?\s?Box\s+[0-9]+"
    ))
});

/// The first e-mail address of the text.
pub(super) fn first_e_mail(text: &str) -> Option<&str> {
    E_MAIL.find(text).map(|found| found.as_str())
}

/// Whether the text holds an e-mail address.
pub(super) fn has_e_mail(text: &str) -> bool {
    text.contains('@') && E_MAIL.is_match(text)
}

/// Whether the text names a person.
pub(super) fn has_name(text: &str) -> bool {
    if text.is_ascii() {
        return ENGLISH_NAME.is_match(text);
    }
    CHINESE_NAME.is_match(text) || ENGLISH_NAME.is_match(text)
}

/// Whether the text says where somebody lives or receives mail.
pub(super) fn has_address(text: &str) -> bool {
    if text.is_ascii() {
        return ENGLISH_ADDRESS.is_match(text);
    }
    CHINESE_ADDRESS.is_match(text) || ENGLISH_ADDRESS.is_match(text)
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a sound pattern")
}

/// The words of a file, separated by white space, as alternatives; longest first.
fn alternation(file: &str) -> String {
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    let mut words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for text in [
            "姓名：王小明",
            "患者李娜，女",
            "我叫欧阳修。",
            "张伟先生来电",
            "Dr. Wong saw her",
            "My name is Xu Li",
            "ask Mary Jones about it",
        ] {
            assert!(has_name(text), "{text}");
        }
        for text in [
            "我是高兴的",
            "这位先生很满意",
            "客户关怀",
            "The Canon G3 is great",
            "nokia 6610",
            "I love my Apex DVD Player",
        ] {
            assert!(!has_name(text), "{text}");
        }
    }

    #[test]
    fn addresses_and_e_mail() {
        for text in [
            "北京市朝阳区建国路88号",
            "住在幸福小区3栋2单元501室",
            "广东省深圳市南山区粤海街道",
            "at 221 Baker Street, London",
            "1600 Pennsylvania Avenue",
            "P.O. Box 12",
        ] {
            assert!(has_address(text), "{text}");
        }
        for text in [
            "走了很长的路",
            "第3号产品",
            "we drove 30 miles a way",
            "I bought 2 of them",
        ] {
            assert!(!has_address(text), "{text}");
        }
        assert!(has_e_mail("写信到a.b+c@mail.example.com。"));
        assert!(!has_e_mail("@home or a@b"));
    }
}
