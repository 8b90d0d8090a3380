//! An Ollama `Modelfile` beside a GGUF file: `FROM`, `TEMPLATE`, `PARAMETER stop`.
//!
//! Ollama's templates are Go's. A chat template is a program, and no program is translated here:
//! the template is rendered on conversations whose texts are marks, and what stands between the marks
//! is what the Go template writes. That holds for templates that write a turn as the same texts around
//! its content wherever it stands (ChatML, Gemma, Llama 3 and their kin, with a default system message
//! or with the system's words inside the first turn); what was found is held against a longer
//! conversation, and where it does not fit, the file says so and Ollama falls back to the template it
//! knows the model's own by. Tools, images and reasoning are not here.

use super::{Export, write_file};
use crate::error::EngineError;
use crate::template::{ChatTemplate, Message};
use std::path::Path;

/// Name of the file.
pub const MODELFILE: &str = "Modelfile";
/// What stands for a text in the conversations; no template writes it.
const MARKS: [&str; 4] = [
    "\u{1}one\u{1}",
    "\u{1}two\u{1}",
    "\u{1}three\u{1}",
    "\u{1}four\u{1}",
];

/// Writes the file for the weights called `weights`; whether it has a template.
pub(super) fn write(export: &Export<'_>, out: &Path, weights: &str) -> Result<bool, EngineError> {
    let raw = export.raw();
    let text = |id: u32| raw.tokenizer.decode(&[id], false);
    let turns = export.speech.template.and_then(Turns::of);
    let go = turns.and_then(|it| it.go(raw.config.bos.map(text).as_deref()));
    let mut file = format!("FROM ./{weights}\n");
    match &go {
        Some(go) => file.push_str(&format!("TEMPLATE \"\"\"{go}\"\"\"\n")),
        None => file.push_str(
            "# No TEMPLATE: the chat template in the GGUF file has no simple form in Go's language.\n\
             # Ollama looks for one that it knows by the file's own; write one here if it finds none.\n",
        ),
    }
    for id in &raw.config.eos {
        let stop = text(*id);
        if !stop.is_empty() && !stop.contains(['"', '\n']) {
            file.push_str(&format!("PARAMETER stop \"{stop}\"\n"));
        }
    }
    write_file(&out.join(MODELFILE), &file)?;
    Ok(go.is_some())
}

/// What a template writes around the texts of a conversation.
#[derive(Debug, PartialEq, Eq)]
struct Turns {
    /// Before the first turn where no system message is given: a beginning, a default message.
    start: String,
    /// Before a system message, which is always the first.
    system_open: String,
    /// Between it and the user's text, where it stands inside the user's turn; else after it.
    system_close: String,
    system_inside: bool,
    user: [String; 2],
    assistant: [String; 2],
    /// What opens the answer.
    answer: String,
}

impl Turns {
    fn of(template: &ChatTemplate) -> Option<Self> {
        let [system, first, answer, second] = MARKS;
        let plain = [("user", first), ("assistant", answer), ("user", second)];
        let with_system = [&[("system", system)], &plain[..]].concat();
        let opened = around(template, &plain, true)?;
        let ended = around(template, &plain, false)?;
        let answered = around(template, &plain[..2], false)?;
        let user_close = ended.last()?.clone();
        let assistant_close = answered.last()?.clone();
        let user_open = opened[2].strip_prefix(&assistant_close)?.to_owned();
        let [before, between, ..] = &around(template, &with_system, true)?[..] else {
            return None;
        };
        let outside = between
            .strip_suffix(&user_open)
            .filter(|_| !user_open.is_empty());
        let turns = Self {
            start: opened[0].strip_suffix(&user_open)?.to_owned(),
            system_open: before.clone(),
            system_close: outside.unwrap_or(between).to_owned(),
            system_inside: outside.is_none(),
            assistant: [
                opened[1].strip_prefix(&user_close)?.to_owned(),
                assistant_close,
            ],
            answer: opened[3].strip_prefix(&user_close)?.to_owned(),
            user: [user_open, user_close],
        };
        turns.fits(template).then_some(turns)
    }

    /// Whether longer conversations are written so too.
    fn fits(&self, template: &ChatTemplate) -> bool {
        let plain = [
            ("user", "a"),
            ("assistant", "b"),
            ("user", "c"),
            ("assistant", "d"),
            ("user", "e"),
        ];
        let with_system = [&[("system", "s")], &plain[..]].concat();
        [
            &plain[..1],
            &plain[..4],
            &plain,
            &with_system[..2],
            &with_system,
        ]
        .into_iter()
        .all(|turns| {
            let asks = turns.last().is_some_and(|(role, _)| *role == "user");
            let written = template.render(&messages(turns), asks).ok();
            written.is_some_and(|written| written == self.written(turns))
        })
    }

    /// What the Go template writes.
    fn written(&self, turns: &[(&str, &str)]) -> String {
        let (mut text, mut inside) = (String::new(), false);
        if turns.first().is_none_or(|(role, _)| *role != "system") {
            text.push_str(&self.start);
        }
        for (role, content) in turns {
            let [open, close] = match *role {
                "system" => [&self.system_open, &self.system_close],
                "user" => [&self.user[0], &self.user[1]],
                _ => [&self.assistant[0], &self.assistant[1]],
            };
            if !std::mem::take(&mut inside) {
                text.push_str(open);
            }
            text.push_str(content);
            text.push_str(close);
            inside = *role == "system" && self.system_inside;
        }
        if turns.last().is_some_and(|(role, _)| *role == "user") {
            text.push_str(&self.answer);
        }
        text
    }

    /// The Go template. The beginning token is left out: Ollama puts it there as the GGUF file says.
    fn go(&self, bos: Option<&str>) -> Option<String> {
        let Self {
            start,
            system_open,
            system_close,
            user,
            assistant,
            answer,
            ..
        } = self;
        // A template that begins its turns with that token (ChatML) has it in every turn, and keeps it.
        let bos = bos.filter(|bos| !bos.is_empty() && !user[0].contains(*bos));
        let cut = |text: &'_ str| {
            let rest = bos.and_then(|bos| text.strip_prefix(bos));
            rest.unwrap_or(text).to_owned()
        };
        let (start, system_open) = (cut(start), cut(system_open));
        let opened = match self.system_inside {
            // The user's turn was opened before the system's words.
            true => format!(
                "{{{{ if or (ne $i 1) (ne (index $.Messages 0).Role \"system\") }}}}{}{{{{ end }}}}",
                user[0]
            ),
            false => user[0].clone(),
        };
        let literal = [&start, &system_open, system_close, &user[0], &user[1]];
        let literal = literal.into_iter().chain(assistant).chain([answer]);
        if literal
            .into_iter()
            .any(|it| it.contains("{{") || it.contains("\"\"\""))
        {
            return None;
        }
        Some(format!(
            "{{{{ range $i, $m := .Messages }}}}\
             {{{{ if and (eq $i 0) (ne $m.Role \"system\") }}}}{start}{{{{ end }}}}\
             {{{{ if eq $m.Role \"system\" }}}}{system_open}{{{{ $m.Content }}}}{system_close}\
             {{{{ else if eq $m.Role \"user\" }}}}{opened}{{{{ $m.Content }}}}{}\
             {{{{ else if eq $m.Role \"assistant\" }}}}{}{{{{ $m.Content }}}}{}{{{{ end }}}}\
             {{{{ if and (eq (len (slice $.Messages $i)) 1) (ne $m.Role \"assistant\") }}}}{answer}{{{{ end }}}}\
             {{{{ end }}}}",
            user[1], assistant[0], assistant[1]
        ))
    }
}

/// The texts around the contents of a conversation, of which each stands there once and in order.
fn around(template: &ChatTemplate, turns: &[(&str, &str)], asks: bool) -> Option<Vec<String>> {
    let written = template.render(&messages(turns), asks).ok()?;
    let (mut rest, mut texts) = (&written[..], Vec::new());
    for (_, content) in turns {
        let (before, after) = rest.split_once(content)?;
        texts.push(before.to_owned());
        rest = after;
    }
    texts.push(rest.to_owned());
    let is_plain = |text: &String| !text.contains('\u{1}');
    texts.iter().all(is_plain).then_some(texts)
}

fn messages(turns: &[(&str, &str)]) -> Vec<Message> {
    let message = |(role, content): &(&str, &str)| Message::new(role, *content);
    turns.iter().map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::SpecialTokens;

    const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
    const GEMMA: &str = "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\\n\\n' %}{% set turns = messages[1:] %}{% else %}{% set first = '' %}{% set turns = messages %}{% endif %}{% for m in turns %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' + (first if loop.first else '') + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}";

    fn turns(source: &str) -> Option<Turns> {
        let special = SpecialTokens::from([("bos_token".to_owned(), "<bos>".to_owned())]);
        Turns::of(&ChatTemplate::new(source, special).expect("compiles"))
    }

    #[test]
    fn chatml_is_found() {
        let found = turns(CHATML).expect("is found");
        assert_eq!(found.start, "");
        assert_eq!(found.system_open, "<|im_start|>system\n");
        assert_eq!(found.user, ["<|im_start|>user\n", "<|im_end|>\n"]);
        assert_eq!(found.answer, "<|im_start|>assistant\n");
        let go = found.go(Some("<|im_start|>")).expect("can be written");
        let user =
            "{{ else if eq $m.Role \"user\" }}<|im_start|>user\n{{ $m.Content }}<|im_end|>\n";
        assert!(go.contains(user), "{go}");
        assert_eq!(go.matches("{{").count(), go.matches("}}").count());
    }

    #[test]
    fn a_default_system_message_is_kept() {
        let source = CHATML.replacen(
            "{% for",
            "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}{% for",
            1,
        );
        let found = turns(&source).expect("is found");
        assert_eq!(found.start, "<|im_start|>system\nBe kind.<|im_end|>\n");
        let go = found.go(None).expect("can be written");
        assert!(
            go.contains("(ne $m.Role \"system\") }}<|im_start|>system\nBe kind."),
            "{go}"
        );
    }

    #[test]
    fn a_system_message_inside_the_first_turn_is_found() {
        let found = turns(GEMMA).expect("is found");
        assert!(found.system_inside);
        assert_eq!(found.system_open, "<bos><start_of_turn>user\n");
        let go = found.go(Some("<bos>")).expect("can be written");
        assert!(!go.contains("<bos>"), "Ollama puts it there: {go}");
        assert!(
            go.contains("}}<start_of_turn>model\n{{ $m.Content }}<end_of_turn>\n"),
            "{go}"
        );
    }

    #[test]
    fn what_is_no_row_of_turns_is_not_guessed() {
        let numbered = "{% for m in messages %}{{ loop.index }}: {{ m['content'] }}\n{% endfor %}";
        assert_eq!(turns(numbered), None);
        let last = "{{ messages[-1]['content'] }}";
        assert_eq!(turns(last), None);
        let braces = CHATML.replace("<|im_start|>", "{' + '{");
        let go = turns(&braces).and_then(|it| it.go(None));
        assert_eq!(go, None, "two braces would be Go's");
    }
}
