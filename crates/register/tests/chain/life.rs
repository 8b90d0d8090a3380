//! What time, withdrawals, the register and people do to a chain that was whole.

use lathe_evidence::statement::*;
use lathe_register::chain::{self, DenialKind};
use lathe_register::registrations;

use super::home::*;

fn whole() -> (Home, Made) {
    let mut home = Home::new(ApprovalPolicy::Itself);
    let made = make(&mut home, "one", &|_| {}).expect("whole");
    (home, made)
}

fn check(home: &Home, made: &Made, expected: &[&str]) {
    assert_eq!(codes(home, made, home.at_ms), expected);
}

#[test]
fn a_whole_chain_says_what_it_is() {
    let (home, made) = whole();
    let chain =
        chain::verify(&home.history, &made.deployment(), &home.files, home.at_ms).expect("whole");
    assert_eq!((chain.name.as_str(), chain.number.as_str()), (NAME, NUMBER));
    assert_eq!((chain.model(), chain.base_model), (made.model, made.base));
    assert!(chain.self_approved && !chain.demonstration);
    assert_eq!(chain.policy, policy());
    assert_eq!(chain.dataset_artifacts, [made.dataset]);
    assert_eq!(chain::current(&home.history), [made.deployment()]);
}

#[test]
fn time_makes_it_stale_and_nothing_else() {
    let (home, made) = whole();
    let end = home.at_ms + 31 * DAY_MS;
    assert_eq!(codes(&home, &made, end), ["chain-expired", "chain-expired"]);
    let examined =
        chain::examine(&home.history, &made.deployment(), &home.files, end).expect("holds");
    assert!(
        examined
            .stale
            .iter()
            .all(|it| it.kind == DenialKind::Expired)
    );
    assert_eq!(codes(&home, &made, home.at_ms + 29 * DAY_MS), [""; 0]);
}

#[test]
fn withdrawn_data_is_named() {
    let withdrawals = |made: &Made| {
        [
            (Withdrawn::Leaf(made.leaves[3]), "record 4, leaf"),
            (Withdrawn::Dataset(made.dataset), "the whole of dataset"),
            (
                Withdrawn::Agreement("agreement 7".to_owned()),
                "the agreement \"agreement 7\"",
            ),
        ]
    };
    for place in 0..3 {
        let (mut home, made) = whole();
        let (what, expected) = withdrawals(&made)[place].clone();
        let subject = match &what {
            Withdrawn::Leaf(digest) | Withdrawn::Dataset(digest) => *digest,
            Withdrawn::Agreement(name) => digest(name),
        };
        let at_ms = home.now();
        home.tell(
            subject,
            Withdrawal {
                what,
                reason: "asked".to_owned(),
                at_ms,
            },
        );
        check(&home, &made, &["chain-withdrawn"]);
        // Of a model that is not deployed yet it is found as well, by its evaluation.
        let evaluation = made.links["evaluation"];
        let leaves = chain::leaves_behind(&home.history, &evaluation, &home.files);
        let leaves = leaves.expect("read");
        assert_eq!(leaves.is_some(), expected.starts_with("record"));
        let taken = chain::withdrawn_behind(&home.history, &evaluation, leaves.as_ref());
        assert_eq!(taken.expect("walked").len(), 1);
        let denied = chain::verify(&home.history, &made.deployment(), &home.files, home.at_ms);
        let text = denied.expect_err("withdrawn")[0].to_string();
        assert!(text.contains(expected) && text.contains("asked"), "{text}");
    }
    let (mut home, made) = whole();
    let at_ms = home.now();
    let what = Withdrawn::Leaf(digest("of another dataset"));
    home.tell(
        digest("of another dataset"),
        Withdrawal {
            what,
            reason: "asked".to_owned(),
            at_ms,
        },
    );
    check(&home, &made, &[]);
}

#[test]
fn an_older_deployment_is_not_brought_back() {
    let (mut home, first) = whole();
    let second = make(&mut home, "two", &|_| {}).expect("changed");
    check(&home, &second, &[]);
    check(&home, &first, &["chain-replaced", "chain-not-registered"]);
    assert_eq!(chain::current(&home.history), [second.deployment()]);
    let register = registrations::register(&home.history);
    let actions: Vec<_> = register[NUMBER].steps.iter().map(|it| it.action).collect();
    use RegistrationAction::{Changed, Registered, Reviewed, Submitted};
    assert_eq!(actions, [Submitted, Reviewed, Registered, Changed]);
    assert_eq!(
        register[NUMBER].in_force,
        Some(second.links["registration"])
    );
}

#[test]
fn of_an_older_deployment_is_told_what_came_over_its_data() {
    let (mut home, first) = whole();
    make(&mut home, "two", &|_| {}).expect("changed");
    let stale = |home: &Home| {
        let found = chain::stale(&home.history, &first.deployment(), &home.files, home.at_ms);
        let found = found.expect("its statements are there");
        found.iter().map(|it| it.kind).collect::<Vec<_>>()
    };
    assert_eq!(stale(&home), []);
    let (leaf, at_ms) = (first.leaves[3], home.now());
    let what = Withdrawn::Leaf(leaf);
    let reason = "asked".to_owned();
    home.tell(
        leaf,
        Withdrawal {
            what,
            reason,
            at_ms,
        },
    );
    assert_eq!(stale(&home), [DenialKind::Withdrawn]);
}

#[test]
fn after_a_restore_only_a_fresh_deployment_counts() {
    let (mut home, made) = whole();
    let (size, root) = (home.history.len(), home.history.root());
    let at_ms = home.now();
    let said = Restored {
        size,
        root,
        reason: "disk replaced".to_owned(),
        at_ms,
    };
    home.tell(root, said);
    check(&home, &made, &["chain-restored"]);
    // The same registration and verdict, deployed again.
    let at_ms = home.now();
    let old = home.history.said::<Deployment>(&made.deployment()).cloned();
    let fresh = Deployment {
        previous: Some(made.deployment()),
        at_ms,
        ..old.expect("said")
    };
    let subjects = vec![
        Subject::new(NAME, made.model),
        Subject::new("base model", made.base),
    ];
    let statement = Statement {
        subjects,
        predicate: fresh.into(),
    };
    let link = home.say(&statement).expect("the ledger takes it");
    chain::verify(&home.history, &link, &home.files, home.at_ms).expect("whole");
    check(&home, &made, &["chain-replaced", "chain-restored"]);
}

#[test]
fn a_withdrawn_dataset_takes_every_version_of_its_file_with_it() {
    let mut home = Home::new(ApprovalPolicy::Itself);
    let first = make(&mut home, "one", &|_| {}).expect("whole");
    let second = make(&mut home, "two", &|_| {}).expect("whole");
    assert_ne!(first.dataset, second.dataset);
    let at_ms = home.now();
    let said = Withdrawal {
        what: Withdrawn::Dataset(first.dataset),
        reason: "asked".to_owned(),
        at_ms,
    };
    home.tell(first.dataset, said);
    check(&home, &second, &["chain-withdrawn"]);
}

#[test]
fn a_cancelled_registration_admits_nothing_and_others_disturb_nothing() {
    let (mut home, made) = whole();
    let verdict = made.links["verdict"];
    let previous = made.links["registration"];
    // A new model is handed in under the number: the one in force stays.
    let submitted = step(
        &mut home,
        RegistrationAction::Submitted,
        Some(previous),
        verdict,
        None,
    );
    let submitted = home.tell(made.model, submitted);
    check(&home, &made, &[]);
    let cancelled = step(
        &mut home,
        RegistrationAction::Cancelled,
        Some(submitted),
        verdict,
        None,
    );
    home.tell(made.model, cancelled);
    check(&home, &made, &["chain-not-registered"]);
    assert_eq!(
        registrations::register(&home.history)[NUMBER].in_force,
        None
    );
}

#[test]
fn a_model_that_overtakes_one_that_waits_is_whole() {
    let mut home = Home::new(ApprovalPolicy::Itself);
    // Handed in and reviewed, then nobody approves: the ledger stops before the approval.
    let waiting = make(&mut home, "waits", &|statement| {
        if statement.predicate.name() == "approval" {
            statement.subjects.clear();
        }
    });
    assert!(waiting.is_err());
    let newest = newest_step(&home.history).map(|(_, action)| action);
    assert_eq!(newest, Some(RegistrationAction::Reviewed));
    // Another model is handed in under the same number, and goes the whole way.
    let made = make(&mut home, "one", &|_| {}).expect("whole");
    check(&home, &made, &[]);
}

#[test]
fn a_step_out_of_order_is_refused() {
    use RegistrationAction::*;
    let allowed = [
        (None, Submitted),
        (Some(Submitted), Submitted),
        (Some(Submitted), Reviewed),
        (Some(Submitted), CorrectionAsked),
        (Some(Submitted), Cancelled),
        (Some(Reviewed), Submitted),
        (Some(Reviewed), CorrectionAsked),
        (Some(Reviewed), Registered),
        (Some(Reviewed), Changed),
        (Some(Reviewed), Cancelled),
        (Some(CorrectionAsked), Submitted),
        (Some(CorrectionAsked), Cancelled),
        (Some(Registered), Submitted),
        (Some(Registered), Changed),
        (Some(Registered), Cancelled),
        (Some(Changed), Submitted),
        (Some(Changed), Changed),
        (Some(Changed), Cancelled),
    ];
    let all = [
        Submitted,
        Reviewed,
        CorrectionAsked,
        Registered,
        Changed,
        Cancelled,
    ];
    let mut home = Home::new(ApprovalPolicy::Itself);
    let (verdict, approval) = (digest("verdict"), Some(digest("approval")));
    let mut counted = 0;
    for before in std::iter::once(None).chain(all.map(Some)) {
        for next in all {
            let link = digest("before");
            let earlier = before.map(|action| step(&mut home, action, None, verdict, approval));
            let previous = earlier.as_ref().map(|it| (link, it));
            let said = step(&mut home, next, previous.map(|it| it.0), verdict, approval);
            let ok = registrations::may_follow(previous, &said).is_ok();
            assert_eq!(
                ok,
                allowed.contains(&(before, next)),
                "{before:?} then {next:?}"
            );
            counted += usize::from(ok);
        }
    }
    assert_eq!(counted, allowed.len());
}

#[test]
fn what_was_rejected_is_not_approved() {
    let mut home = Home::new(ApprovalPolicy::Itself);
    let made = make(&mut home, "one", &|statement| {
        if let Predicate::Approval(said) = &mut statement.predicate {
            said.decision = Decision::Rejected;
        }
    });
    check(&home, &made.expect("said"), &["chain-not-approved"]);
}

#[test]
fn a_refused_model_stays_refused_whatever_the_ledger_says() {
    let mut home = Home::new(ApprovalPolicy::Itself);
    let made = make(&mut home, "one", &|statement| {
        if let Predicate::Verdict(said) = &mut statement.predicate {
            said.policy = said.policy.replace("\"0.8\"", "\"0.95\"");
        }
    })
    .expect("said");
    let denials = chain::verify(&home.history, &made.deployment(), &home.files, home.at_ms)
        .expect_err("refused");
    assert!(denials.iter().all(|it| it.code == "chain-gate"));
    assert_eq!(denials[0].figure, "0.9000");
    assert!(denials[0].rule.contains("at least 0.95"));
}

/// An approver whose key is not the workshop's.
fn two_persons(approver_roles: &[Role]) -> Home {
    let mut home = Home::new(ApprovalPolicy::TwoPerson);
    let approver = key(2);
    let at_ms = home.now();
    let said = Key {
        key: approver
            .public()
            .to_record("the second person", approver_roles),
        action: KeyAction::Added,
        reason: "approves".to_owned(),
        at_ms,
    };
    home.tell(approver.id(), said);
    home.signers.insert("approval", approver);
    home
}

/// A chain whose approval gives this reason.
fn approved_for(mut home: Home, reason: &str) -> chain::Chain {
    let made = make(&mut home, "one", &|statement| {
        if let Predicate::Approval(said) = &mut statement.predicate {
            said.reason = reason.to_owned();
        }
    });
    let made = made.expect("whole");
    chain::verify(&home.history, &made.deployment(), &home.files, home.at_ms).expect("whole")
}

#[test]
fn who_approved_is_whom_the_workshop_signed_for() {
    let person = Approval::reason_for("read", "wang");
    let chain = approved_for(Home::new(ApprovalPolicy::Itself), &person);
    assert_eq!(
        (chain.self_approved, &chain.approved_by[..]),
        (false, "person wang")
    );
    let chain = approved_for(Home::new(ApprovalPolicy::Itself), "it is good");
    assert_eq!(
        (chain.self_approved, &chain.approved_by[..]),
        (true, "workshop")
    );

    // A key of one's own signs for nobody else, whatever it says; its owner is somebody else.
    let chain = approved_for(two_persons(&[Role::Approver]), &person);
    assert_eq!(
        (chain.self_approved, &chain.approved_by[..]),
        (false, "the second person")
    );
}

#[test]
fn two_persons_are_two() {
    let mut home = two_persons(&[Role::Approver]);
    let made = make(&mut home, "one", &|_| {}).expect("whole");
    let chain =
        chain::verify(&home.history, &made.deployment(), &home.files, home.at_ms).expect("whole");
    assert!(!chain.self_approved);

    let mut alone = Home::new(ApprovalPolicy::TwoPerson);
    let made = make(&mut alone, "one", &|_| {}).expect("said");
    check(&alone, &made, &["chain-not-approved"]);

    for (kind, role) in [
        ("evaluation", Role::Evaluator),
        ("training", Role::Tuner),
        ("dataset", Role::DataOwner),
    ] {
        let mut home = two_persons(&[role, Role::Approver]);
        home.signers.insert(kind, key(2));
        let made = make(&mut home, "one", &|_| {});
        let made = match made {
            Ok(made) => made,
            // Roles are written in the table's order; this one is not.
            Err(error) => panic!("{kind}: {error}"),
        };
        check(&home, &made, &["chain-not-approved"]);
    }

    let mut home = two_persons(&[Role::Auditor]);
    let error = make(&mut home, "one", &|_| {})
        .err()
        .expect("the ledger refuses");
    assert!(error.contains("lacks the role approver"), "{error}");
}

#[test]
fn a_stolen_key_takes_the_chain_with_it() {
    let mut home = two_persons(&[Role::Approver]);
    let made = make(&mut home, "one", &|_| {}).expect("whole");
    let stolen = key(2);
    let at_ms = home.now();
    let said = Key {
        key: stolen
            .public()
            .to_record("the second person", &[Role::Approver]),
        action: KeyAction::Compromised,
        reason: "stolen".to_owned(),
        at_ms,
    };
    home.tell(stolen.id(), said);
    let codes = codes(&home, &made, home.at_ms);
    assert_eq!(codes, ["chain-missing"]);
}
