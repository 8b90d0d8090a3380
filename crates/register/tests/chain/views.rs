//! The views over a verified history: dossier, filing package, bill of materials.

use lathe_evidence::statement::*;
use lathe_register::chain;
use lathe_register::{Lang, dossier, filing, ml_bom, registrations};

use super::home::*;

fn whole() -> (Home, Made) {
    let mut home = Home::new(ApprovalPolicy::Itself);
    let made = make(&mut home, "one", &|_| {}).expect("whole");
    (home, made)
}

#[test]
fn a_dossier_is_a_function_of_the_ledger_at_a_checkpoint() {
    let (mut home, made) = whole();
    let size = home.history.len();
    let report = &home.files.0[&made.report]["report.json"].clone();
    let of = |home: &Home, size: u64, report: Option<&[u8]>| {
        dossier::dossier(&home.history, NUMBER, size, report).expect("a dossier")
    };
    let before = of(&home, size, Some(report));
    let at_ms = home.now();
    let filed = Filing {
        registration: NUMBER.to_owned(),
        kind: FilingKind::GenerativeService,
        authority: "网信办 <b>".to_owned(),
        number: "备 2026-17".to_owned(),
        date: "2026-11-25".to_owned(),
        at_ms,
    };
    home.tell(digest("document"), filed.clone());
    make(&mut home, "two", &|_| {}).expect("changed");
    assert_eq!(
        of(&home, size, Some(report)).to_json(),
        before.to_json(),
        "later entries change nothing"
    );
    assert_eq!(
        of(&home, size, Some(b"another report")),
        of(&home, size, None)
    );
    assert_ne!(of(&home, size, None).to_json(), before.to_json());
    for lang in Lang::ALL {
        let page = before.to_html(lang);
        for text in [NAME, NUMBER, "lathe/invented", "0.9000 [0.8500, 0.9500]"] {
            assert!(page.contains(text), "{text}");
        }
        let filed = of(&home, size + 1, None).to_html(lang);
        assert!(filed.contains("备 2026-17") && filed.contains("网信办 &lt;b&gt;"));
        assert!(!page.contains("备 2026-17"));
    }
    assert!(before.to_html(Lang::Zh).contains("未备案"));
    assert!(before.to_html(Lang::En).contains("self-approved"));
    assert!(dossier::dossier(&home.history, "R0009", size, None).is_err());
}

#[test]
fn a_dossier_names_the_person_whom_the_workshop_signed_for() {
    let shown = |reason: &str| {
        let mut home = Home::new(ApprovalPolicy::Itself);
        let made = make(&mut home, "one", &|statement| {
            if let Predicate::Approval(said) = &mut statement.predicate {
                said.reason = reason.to_owned();
            }
        });
        made.expect("whole");
        let made = dossier::dossier(&home.history, NUMBER, home.history.len(), None);
        made.expect("a dossier").to_html(Lang::Zh)
    };
    let own = "自行审批：由工场自身密钥签署";
    let (nobody, wang) = (shown("good"), shown(&Approval::reason_for("good", "wang")));
    assert!(nobody.contains(own) && !wang.contains(own), "{wang}");
    assert!(wang.contains(">wang<"), "{wang}");
}

#[test]
fn every_word_of_a_page_has_both_languages() {
    let (mut home, _) = whole();
    let at_ms = home.now();
    let moved = Breaker {
        deployment: NAME.to_owned(),
        from: BreakerState::Closed,
        to: BreakerState::ForcedOpen,
        cause: Cause::DigestMismatch,
        reason: "a file".to_owned(),
        at_ms,
    };
    home.tell(digest("model"), moved);
    let dossier =
        dossier::dossier(&home.history, NUMBER, home.history.len(), None).expect("a dossier");
    let answers = filing::questions(Lang::En)
        .into_iter()
        .map(|it| (it.id, true))
        .collect();
    let applies = filing::decide(&answers, Lang::En).expect("decided");
    let package = filing::package(&home.history, NUMBER, &applies).expect("a package");
    let fields = filing::fields(&package, Lang::Zh);
    let asked = fields.iter().filter(|it| it.value.is_none()).count();
    assert!(asked > 10 && fields.len() > asked + 20, "{fields:?}");
    let known = filing::known(&home.history, NUMBER).expect("known");
    assert_eq!(known, [("tuned".to_owned(), true)].into());
    for lang in Lang::ALL {
        for page in [
            dossier.to_html(lang),
            filing::page(&home.history, NUMBER, &package, lang),
        ] {
            for raw in [
                "row.",
                "section.",
                "title.",
                "intro.",
                "step.",
                "breaker.",
                "cause.",
                "filing.",
                "approval.",
                "verdict.",
                "confidence.",
                "modality.",
                ">asked<",
            ] {
                assert!(
                    !page.contains(&format!(">{raw}")),
                    "{raw} in {}",
                    lang.tag()
                );
            }
        }
    }
}

#[test]
fn a_filing_without_a_number_is_not_shown() {
    let (mut home, _) = whole();
    let at_ms = home.now();
    let numberless = Filing {
        registration: NUMBER.to_owned(),
        kind: FilingKind::Algorithm,
        authority: "网信办".to_owned(),
        number: String::new(),
        date: "2026-11-25".to_owned(),
        at_ms,
    };
    home.tell(digest("document"), numberless);
    assert!(
        registrations::register(&home.history)[NUMBER]
            .filings
            .is_empty()
    );
}

#[test]
fn the_bill_of_materials_names_what_the_chain_rests_on() {
    let (home, made) = whole();
    let chain =
        chain::verify(&home.history, &made.deployment(), &home.files, home.at_ms).expect("whole");
    let bom = ml_bom::ml_bom(&home.history, &chain);
    let text = bom.to_string();
    for digest in [made.model, made.base, made.dataset, made.deployment()] {
        assert!(text.contains(&digest.to_string()), "{digest}");
    }
    assert_eq!(bom["specVersion"], "1.6");
    assert_eq!(
        bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]
            ["value"],
        "0.9000"
    );
    assert_eq!(bom["metadata"]["timestamp"], "1970-01-02T00:00:00Z");
    assert_eq!(bom, ml_bom::ml_bom(&home.history, &chain));
    let serial = bom["serialNumber"].as_str().expect("text");
    assert_eq!(
        (serial.len(), &serial[..9], &serial[23..24]),
        (45, "urn:uuid:", "8")
    );
    if let Some(path) = std::env::var_os("LATHE_BOM_OUT") {
        std::fs::write(path, text).expect("written");
    }
}
