//! The three best sold articles of each shop in a minute.

use std::time::Duration;

use processor::{Emit, Json, Topology, Tumbling, Utf8, Watermark};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Sale {
    article: String,
    amount: u64,
}

pub(crate) fn job(application_id: &str, topics: &[String]) -> Topology {
    let mut job = Topology::builder(application_id);
    job.keyed_stream(&topics[0], Utf8, Json::<Sale>::new())
        .watermark(Watermark::bounded(Duration::from_secs(5)))
        .window(Tumbling::of(Duration::from_secs(60)))
        .top_n("best", Emit::OnClose, 3, |sale| (sale.value.amount, sale.value.article.clone()))
        .map(|shop| shop.value.clone())
        .to(&topics[1], Utf8, Json::new());
    job.build().expect("a sound job")
}

#[cfg(test)]
mod tests {
    use processor::driver::TestDriver;

    use super::*;

    #[test]
    fn the_greatest_amounts_come_first() {
        let mut driver = TestDriver::new(job("test", &["in".to_owned(), "out".to_owned()]));
        for (at, article, amount) in [(1, "tea", 3), (2, "rum", 9), (3, "oil", 1), (4, "ham", 5), (60_000, "ale", 2)] {
            let sale = serde_json::to_string(&Sale { article: article.to_owned(), amount }).expect("JSON");
            driver.pipe("in", Some("shop"), &sale, at);
        }
        driver.end_of_input();
        let out: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
        assert_eq!(out, [r#"[[9,"rum"],[5,"ham"],[3,"tea"]]"#, r#"[[2,"ale"]]"#]);
    }
}
