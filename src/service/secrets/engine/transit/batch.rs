//! One thing, or a batch of them: each item is answered on its own, and one that fails stops no other.
//!
//! Never lets a store that cannot be read pass as the fault of an item.

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::base::limits::MAXIMUM_TRANSIT_BATCH_ITEMS;
use crate::service::secrets::engine::{Answer, Data, Fault};
use crate::service::secrets::parameters::Body;

/// The items of a batch; none: the request is about one thing.
///
/// # Errors
/// There are none in it or too many, or one is no object.
pub fn items(body: &Body) -> Result<Option<Vec<Fields<'_>>>, Fault> {
    let Some(batch) = Fields(body.fields()).get("batch_input") else {
        return Ok(None);
    };
    let items = batch
        .as_array()
        .ok_or_else(|| Fault::Invalid("batch_input is no array".to_owned()))?;
    if items.is_empty() {
        return Err(Fault::Invalid("missing batch input to process".to_owned()));
    }
    if items.len() > MAXIMUM_TRANSIT_BATCH_ITEMS {
        return Err(Fault::Invalid(format!(
            "batch_input has {} items; the most is {MAXIMUM_TRANSIT_BATCH_ITEMS}",
            items.len()
        )));
    }
    let items = items
        .iter()
        .map(|item| item.as_object().map(Fields))
        .collect::<Option<Vec<_>>>();
    let missing = || Fault::Invalid("an item of batch_input is no object".to_owned());
    items.ok_or_else(missing).map(Some)
}

/// What `each` answers for the request, or for every item of its batch. With items that fail the answer has the status 400,
/// or if others succeed the one that `partial_failure_response_code` names.
///
/// # Errors
/// The one of a request that is no batch; of a batch only what is no item's fault, and that none succeeded.
pub fn answer(body: &Body, mut each: impl FnMut(Fields<'_>) -> Result<Data, Fault>) -> Result<Answer, Fault> {
    let whole = Fields(body.fields());
    let Some(items) = items(body)? else {
        return each(whole).map(Answer::data);
    };
    let code = whole.integer("partial_failure_response_code")?;
    let mut results = Vec::with_capacity(items.len());
    let mut failures = 0;
    for item in &items {
        let mut result = match each(*item) {
            Ok(result) => result,
            Err(Fault::Invalid(text)) => {
                failures += 1;
                Data::new().with("error", &text)?
            }
            Err(fault) => return Err(fault),
        };
        if let Some(reference) = item.word("reference").ok().flatten() {
            result.set("reference", reference)?;
        }
        results.push(result);
    }
    let data = Data::new().with("batch_results", &results)?;
    if failures == items.len() {
        let text = "no item of the batch succeeded; each says why".to_owned();
        return Err(Fault::InvalidWith { text, data });
    }
    let mut answer = Answer::data(data);
    if failures > 0 {
        let code = code.map(|code| u16::try_from(code).ok().filter(|code| (200..600).contains(code)));
        if code == Some(None) {
            answer.warnings.push(
                "invalid HTTP response code override from partial_failure_response_code, reverting to 400"
                    .to_owned(),
            );
        }
        answer.status = Some(code.flatten().unwrap_or(400));
    }
    Ok(answer)
}

/// The fields of the first item, or of the request that is no batch.
///
/// # Errors
/// As [`items`].
pub fn first(body: &Body) -> Result<&Map<String, Value>, Fault> {
    let first = items(body)?.and_then(|items| items.first().map(|item| item.0));
    Ok(first.unwrap_or_else(|| body.fields()))
}
