//! A dossier as a page: plain HTML with its own style, for reading and for printing. No script.

use std::fmt::Write as _;

use lathe_evidence::moment;

use super::{Dossier, Row, Section, Value};
use crate::words::{Lang, word};

/// What the page looks like on screen and on paper (A4).
const STYLE: &str = "body{font:15px/1.6 system-ui,'Noto Sans CJK SC','PingFang SC','Microsoft YaHei',sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}h1{font-size:1.5rem}h2{font-size:1.1rem;margin:1.6rem 0 .4rem;border-bottom:1px solid #999}table{width:100%;border-collapse:collapse}th,td{text-align:left;vertical-align:top;padding:.2rem .5rem .2rem 0;border-bottom:1px solid #e4e4e4;overflow-wrap:anywhere}th{width:13rem;font-weight:500;color:#555}code{font-size:.85em}.asked{color:#8a4b00}footer{margin-top:2rem;font-size:.85rem;color:#555}@page{size:A4;margin:18mm}@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}";

/// The page of a dossier.
pub(super) fn dossier(dossier: &Dossier, lang: Lang) -> String {
    let title = format!("{} {}", word(lang, "title.dossier"), dossier.number);
    let footer = format!(
        "{}: <code>{}</code>, {} {}, <code>{}</code>",
        word(lang, "made-from"),
        escape(&dossier.origin),
        dossier.size,
        word(lang, "entries"),
        dossier.root
    );
    sections(
        &title,
        word(lang, "intro.dossier"),
        &dossier.sections,
        &footer,
        lang,
    )
}

/// A page of sections; `footer` is markup.
pub(crate) fn sections(
    title: &str,
    intro: &str,
    sections: &[Section],
    footer: &str,
    lang: Lang,
) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"{}\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n<p>{intro}</p>\n",
        lang.tag(),
        title = escape(title),
        intro = escape(intro),
    );
    for section in sections {
        let heading = word(lang, &format!("section.{}", section.key)).to_owned();
        let _ = writeln!(page, "<h2>{}</h2>\n<table>", escape(&heading));
        for row in &section.rows {
            let _ = writeln!(page, "{}", table_row(row, lang));
        }
        page.push_str("</table>\n");
    }
    let _ = writeln!(page, "<footer>{footer}</footer>\n</html>");
    page
}

fn table_row(row: &Row, lang: Lang) -> String {
    let value = match (&row.value, value_text(&row.value, lang)) {
        (Value::Digest(_), Some(digest)) => format!("<code>{digest}</code>"),
        (_, Some(text)) => escape(&text),
        (_, None) => format!(
            "<span class=\"asked\">{}</span>",
            escape(word(lang, "asked"))
        ),
    };
    let key = format!("row.{}", row.key);
    format!(
        "<tr><th>{}</th><td>{value}</td></tr>",
        escape(word(lang, &key))
    )
}

/// A fact as it is read; none where the operator has to give it.
pub(crate) fn value_text(value: &Value, lang: Lang) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Digest(digest) => Some(digest.to_string()),
        Value::Time(at_ms) => Some(time(*at_ms)),
        Value::Word(key) => Some(word(lang, key).to_owned()),
        Value::Asked => None,
    }
}

/// A moment as a page has it: `2026-11-25 21:08:25 UTC`.
pub fn time(at_ms: i64) -> String {
    moment::utc(at_ms)
        .replacen('T', " ", 1)
        .replace('Z', " UTC")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_say_that_they_are_in_utc() {
        assert_eq!(time(1_795_640_905_999), "2026-11-25 21:08:25 UTC");
    }

    #[test]
    fn texts_cannot_break_out() {
        assert_eq!(escape("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
