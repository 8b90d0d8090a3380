//! `cargo xtask tidy`: house rules that no compiler holds.
//!
//! - a Rust file has at most [`FILE_LINES_MAX`] lines, a function at most [`FUNCTION_LINES_MAX`];
//!   what is over stands in `xtask/tidy-exceptions.txt` with its present size, and an exception
//!   that has become smaller or needless must be shortened: they only shrink;
//! - every Rust file opens with a `//!` line that says what it is;
//! - no marker of unfinished work, no tab, no space at a line's end, no path of a machine;
//! - both READMEs have the same headings in number and level.
//!
//! It does not judge style: that is rustfmt's and clippy's work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::Visit;

use crate::shell::{self, Outcome};

/// Longest Rust file, in lines.
const FILE_LINES_MAX: usize = 800;
/// Longest function, in lines from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Where exceptions stand: `path[::function] lines`.
const EXCEPTIONS: &str = "xtask/tidy-exceptions.txt";

/// Checks the tree that git tracks; lists every finding.
pub fn run() -> Outcome {
    let root = shell::root();
    let files = tracked(&root)?;
    let mut findings = Vec::new();
    let mut sizes = BTreeMap::new();
    for path in &files {
        let Ok(text) = std::fs::read_to_string(root.join(path)) else {
            continue; // not text
        };
        let name = path.to_string_lossy().into_owned();
        check_lines(&name, &text, &mut findings);
        if name.ends_with(".rs") {
            check_opening(&name, &text, &mut findings);
            measure(&name, &text, &mut sizes, &mut findings);
        }
    }
    compare_with_exceptions(&root, &sizes, &mut findings)?;
    check_readmes(&root, &mut findings)?;
    if findings.is_empty() {
        eprintln!("tidy: {} files, nothing to mend", files.len());
        return Ok(());
    }
    Err(format!(
        "{} findings\n{}",
        findings.len(),
        findings.join("\n")
    ))
}

fn tracked(root: &Path) -> Result<Vec<PathBuf>, String> {
    let list = shell::output(
        std::process::Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(root),
    )?;
    Ok(list
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect())
}

fn check_lines(name: &str, text: &str, findings: &mut Vec<String>) {
    let is_source = [
        ".rs", ".py", ".md", ".yaml", ".toml", ".js", ".css", ".html", ".sql",
    ]
    .iter()
    .any(|ending| name.ends_with(ending));
    if !is_source {
        return;
    }
    // Spelled in pieces so that this file passes its own check.
    let unfinished = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["todo", "!("].concat(),
    ];
    let machine_paths = [
        ["/ho", "me/"].concat(),
        ["/ro", "ot/"].concat(),
        ["/wo", "rk/"].concat(),
    ];
    for (index, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", index + 1);
        if line.ends_with([' ', '\t']) {
            findings.push(format!("{place}: a space at the line's end"));
        }
        if name.ends_with(".rs") && line.contains('\t') {
            findings.push(format!("{place}: a tab"));
        }
        if unfinished.iter().any(|mark| line.contains(mark)) {
            findings.push(format!("{place}: unfinished work; do it or open an issue"));
        }
        if machine_paths.iter().any(|path| line.contains(path)) {
            findings.push(format!("{place}: a path of one machine"));
        }
    }
}

fn check_opening(name: &str, text: &str, findings: &mut Vec<String>) {
    if !text.trim_start().starts_with("//!") {
        findings.push(format!(
            "{name}:1: no opening `//!` that says what the file is"
        ));
    }
}

/// Adds what is over a limit to `sizes`, keyed as the exceptions file writes it.
fn measure(
    name: &str,
    text: &str,
    sizes: &mut BTreeMap<String, usize>,
    findings: &mut Vec<String>,
) {
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        sizes.insert(name.to_owned(), lines);
    }
    match syn::parse_file(text) {
        Ok(file) => {
            let mut functions = Functions { file: name, sizes };
            functions.visit_file(&file);
        }
        Err(error) => findings.push(format!("{name}: does not parse: {error}")),
    }
}

struct Functions<'a> {
    file: &'a str,
    sizes: &'a mut BTreeMap<String, usize>,
}

impl Functions<'_> {
    fn record(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let last = block.span().end().line;
        let lines = last.saturating_sub(first) + 1;
        if lines > FUNCTION_LINES_MAX {
            self.sizes
                .insert(format!("{}::{}", self.file, signature.ident), lines);
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.record(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.record(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}

fn compare_with_exceptions(
    root: &Path,
    sizes: &BTreeMap<String, usize>,
    findings: &mut Vec<String>,
) -> Outcome {
    let text = std::fs::read_to_string(root.join(EXCEPTIONS))
        .map_err(|error| format!("reading {EXCEPTIONS}: {error}"))?;
    let mut allowed = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
    {
        let (name, lines) = line
            .rsplit_once(' ')
            .and_then(|(name, lines)| Some((name.to_owned(), lines.parse::<usize>().ok()?)))
            .ok_or_else(|| {
                format!("{EXCEPTIONS}: cannot read '{line}'; write `path[::function] lines`")
            })?;
        allowed.insert(name, lines);
    }
    for (name, lines) in sizes {
        match allowed.get(name) {
            None => findings.push(format!("{name}: {lines} lines; split it")),
            Some(limit) if lines > limit => {
                findings.push(format!(
                    "{name}: {lines} lines, its exception says {limit}; split it"
                ));
            }
            Some(limit) if lines < limit => {
                findings.push(format!(
                    "{EXCEPTIONS}: {name} has shrunk to {lines}; write that"
                ));
            }
            Some(_) => {}
        }
    }
    for name in allowed.keys().filter(|name| !sizes.contains_key(*name)) {
        findings.push(format!(
            "{EXCEPTIONS}: {name} is within the limits; remove the line"
        ));
    }
    Ok(())
}

fn check_readmes(root: &Path, findings: &mut Vec<String>) -> Outcome {
    let english = headings(&root.join("README.md"))?;
    let chinese = headings(&root.join("README.zh-CN.md"))?;
    if english != chinese {
        findings.push(format!(
            "README.zh-CN.md: heading levels {chinese:?} differ from README.md's {english:?}"
        ));
    }
    Ok(())
}

/// Levels of the headings outside code fences, in order.
fn headings(path: &Path) -> Result<Vec<usize>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("reading {}: {error}", path.display()))?;
    let mut fenced = false;
    let mut levels = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced && line.starts_with('#') {
            levels.push(line.chars().take_while(|mark| *mark == '#').count());
        }
    }
    Ok(levels)
}
