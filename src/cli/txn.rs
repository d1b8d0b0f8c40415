//! `stead txn`: a transaction from standard input.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::Args;
use serde::Serialize;

use super::exit::CliError;
use super::kv::{DeleteView, PutView, write_delete, write_put, write_range};
use super::output::{Format, Plain, RangeView, revision, write_line};
use super::txn_syntax::{self, Part};
use crate::client::Client;
use crate::proto::etcdserverpb::response_op::Response;
use crate::proto::etcdserverpb::{ResponseOp, TxnResponse};

/// The arguments of `stead txn`.
#[derive(Debug, Clone, Args)]
pub(super) struct Txn {
    /// Say which part is read, even if the input is no terminal
    #[arg(long, short)]
    interactive: bool,
}

impl Txn {
    /// Reads the transaction, asks and shows the answer.
    ///
    /// # Errors
    /// The text cannot be read, or the call failed.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let input = io::stdin().lock();
        let prompt = self.interactive || input.is_terminal();
        let request = txn_syntax::parse(input.lines(), |part| {
            if prompt {
                let text = match part {
                    Part::Compares => "compares:",
                    Part::Success => "success requests (get, put, del):",
                    Part::Failure => "failure requests (get, put, del):",
                };
                // A prompt that cannot be shown is no reason to stop.
                let _ = writeln!(io::stderr(), "{text}");
            }
        })?;
        let answer = client
            .write(|node| {
                let request = request.clone();
                async move { node.kv().txn(request).await }
            })
            .await?;
        format.show(&answer, |out| write_txn(out, &answer), || TxnView::of(&answer))
    }
}

#[derive(Serialize)]
struct TxnView<'answer> {
    revision: i64,
    succeeded: bool,
    responses: Vec<ResponseView<'answer>>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ResponseView<'answer> {
    Range(RangeView<'answer>),
    Put(PutView<'answer>),
    DeleteRange(DeleteView<'answer>),
    Txn(Box<TxnView<'answer>>),
}

impl<'answer> TxnView<'answer> {
    fn of(answer: &'answer TxnResponse) -> Self {
        Self {
            revision: revision(answer.header.as_ref()),
            succeeded: answer.succeeded,
            responses: answer.responses.iter().filter_map(response_view).collect(),
        }
    }
}

fn response_view(response: &ResponseOp) -> Option<ResponseView<'_>> {
    Some(match response.response.as_ref()? {
        Response::ResponseRange(answer) => ResponseView::Range(RangeView(answer)),
        Response::ResponsePut(answer) => ResponseView::Put(PutView::of(answer)),
        Response::ResponseDeleteRange(answer) => ResponseView::DeleteRange(DeleteView::of(answer)),
        Response::ResponseTxn(answer) => ResponseView::Txn(Box::new(TxnView::of(answer))),
    })
}

fn write_txn(out: &mut Plain<'_>, answer: &TxnResponse) -> io::Result<()> {
    write_line(&mut *out, if answer.succeeded { b"SUCCESS" } else { b"FAILURE" })?;
    for response in &answer.responses {
        write_line(&mut *out, b"")?;
        match response.response.as_ref() {
            Some(Response::ResponseRange(answer)) => write_range(out, answer)?,
            Some(Response::ResponsePut(answer)) => write_put(out, answer)?,
            Some(Response::ResponseDeleteRange(answer)) => write_delete(out, answer)?,
            Some(Response::ResponseTxn(answer)) => write_txn(out, answer)?,
            None => {}
        }
    }
    Ok(())
}
