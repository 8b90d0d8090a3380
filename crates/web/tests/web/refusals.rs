//! What a step ended with, and what Lathe wrote into the ledger, as pages tell it to whoever reads: in their language,
//! with what to do next.

use axum::http::StatusCode;

use crate::pages::{app, get};
use crate::sample::trace::NUMBER;
use crate::sample::{DONE, FAILED, SampleDesk};

/// A section of a page, by the id of its heading.
fn section<'a>(page: &'a str, id: &str) -> &'a str {
    let start = format!("aria-labelledby=\"{id}\"");
    let Some((_, rest)) = page.split_once(&start) else {
        panic!("no {id}: {page}");
    };
    rest.split("</section>").next().unwrap_or(rest)
}

#[tokio::test]
async fn a_refusal_of_the_gate_says_what_failed_by_how_much_and_what_to_do() {
    let app = app(SampleDesk::refused());
    for (lang, steps, gate) in [
        (
            "en",
            [
                "The gate refused the model.",
                "measured 0.871 · 0.029 below the 0.900 that is needed",
                "What helps stands at each of these rules",
            ],
            [
                "4 of 5 do not",
                "Clone the order with such a change",
                "worst where product is router, on 163 records",
                "at most 1 %",
                "2.1 percentage points over the limit of 1.0 %",
                "Look at the failing samples below",
            ],
        ),
        (
            "zh",
            [
                "模型未通过门禁。",
                "实测 0.871 · 低于要求的 0.900，差 0.029",
                "各条规则的处理办法",
            ],
            [
                "5 条规则中有 4 条不满足",
                "请克隆任务并作相应修改",
                "最差的切片：product 为 router，163 条记录",
                "不超过 1 %",
                "超出上限 1.0 %，多 2.1 个百分点",
                "请查看下方误差最大的样本",
            ],
        ),
    ] {
        let page = get(&app, &format!("/orders/{DONE}"), lang).await;
        assert_eq!(page.status, StatusCode::OK);
        let found = section(&page.text, "steps-title");
        for told in steps.iter().chain(&["href=\"#gate-title\""]) {
            assert!(found.contains(told), "{told}: {found}");
        }
        // The gate's own words, which are English, are not those of the page.
        assert!(!found.contains("the gate refuses"), "{found}");
        let found = section(&page.text, "gate-title");
        for told in gate {
            assert!(found.contains(told), "{told}: {found}");
        }
        let clone = format!("href=\"/orders/{DONE}/clone\"");
        assert!(found.contains(&clone), "{found}");
        let said = "<span lang=\"en\">product-reviews, CC-BY-NC-4.0: it is not for";
        assert!(found.contains(said), "{found}");
        // What does not hold comes first.
        let rows: Vec<&str> = found.split("<li class=\"").skip(1).collect();
        assert_eq!(rows.len(), 5, "{found}");
        assert!(rows[..4].iter().all(|row| row.starts_with("failed")));
    }
}

#[tokio::test]
async fn a_failed_step_is_told_by_its_code_beside_what_it_said() {
    let app = app(SampleDesk::new());
    for (lang, told, next) in [
        (
            "en",
            "is not the one that was promised",
            "If the source was changed on purpose",
        ),
        ("zh", "获取到的文件与预期不符", "若来源确有更新"),
    ] {
        let page = get(&app, &format!("/orders/{FAILED}"), lang).await.text;
        let found = section(&page, "steps-title");
        for told in [told, next, "data-digest"] {
            assert!(found.contains(told), "{told}: {found}");
        }
        // What it said itself stays as it was said.
        let said = "<span lang=\"en\">the file from pypi:vaderSentiment==0.5 has another SHA-256";
        assert!(found.contains(said), "{found}");
    }
}

#[tokio::test]
async fn what_lathe_wrote_into_the_ledger_is_told_in_the_readers_language() {
    let app = app(SampleDesk::new());
    let page = get(&app, &format!("/register/{NUMBER}"), "zh").await.text;
    for told in [
        "由任务 3e8f1b77 提交",
        "材料齐全，已通过门禁",
        "由工场自行审批",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    for absent in ["handed in by", "passed by the gate", "self-approved"] {
        assert!(!page.contains(absent), "{absent}: {page}");
    }
    // The reason that somebody gave stays theirs.
    let page = get(&app, "/deployments/customer-care", "zh").await.text;
    let told = "记录 122_9 已撤回，理由：its author asked for it";
    assert_eq!(page.matches(told).count(), 2, "{page}");
    // The entry itself is shown as it was signed, with the same words before it.
    let entry = get(&app, "/ledger/6", "zh").await.text;
    let signed = format!("by order {DONE}");
    assert!(entry.contains("由任务 3e8f1b77 提出") && entry.contains(&signed));
}
