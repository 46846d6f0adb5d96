//! A device made of the crate `hawkbit`, one step at a time:
//!
//!     hawkbit-device URL ID TOKEN STEP [ARGUMENT...]
//!
//! TOKEN is `target:T`, `gateway:T` or `none`. Each step polls once, does what
//! it says and prints what it learned as one JSON object. Exit 0: done, 1:
//! the crate returned an error (`{"error":...}`), 2: nothing there to do.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::ExitCode;

use futures::TryStreamExt;
use hawkbit::ddi::{
    Client, ClientAuthorization, Error, Execution, Finished, Mode, Reply,
    Update,
};
use serde_json::{json, Value};

type Answer = Result<Option<Value>, Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.len() < 4 {
        eprintln!("usage: hawkbit-device URL ID TOKEN STEP [ARGUMENT...]");
        return ExitCode::from(64);
    }

    match step(&args[0], &args[1], &args[2], &args[3], &args[4..]).await {
        Ok(Some(value)) => {
            println!("{value}");
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::from(2),
        Err(e) => {
            println!("{}", json!({ "error": describe(&e) }));
            ExitCode::FAILURE
        }
    }
}

fn describe(e: &Error) -> String {
    match e {
        Error::ReqwestError(e) => match e.status() {
            Some(status) => format!("status {}", status.as_u16()),
            None => format!("{e:?}"),
        },
        e => format!("{e:?}"),
    }
}

async fn step(url: &str, id: &str, token: &str, what: &str, args: &[String])
    -> Answer
{
    let auth = match token.split_once(':') {
        Some(("target", t)) => ClientAuthorization::TargetToken(t.into()),
        Some(("gateway", t)) => ClientAuthorization::GatewayToken(t.into()),
        _ => ClientAuthorization::None,
    };
    let client = Client::new(url, "DEFAULT", id, auth, None, None, None)?;
    let reply = client.poll().await?;

    match what {
        "poll" => poll(&reply),
        "config" => config(&reply, args).await,
        "fetch" => fetch(&reply).await,
        "install" => install(&reply, Path::new(&args[0])).await,
        "stream" => stream(&reply).await,
        "feedback" => feedback(&reply, args).await,
        "cancel" => cancel(&reply, args).await,
        "confirm" | "decline" => confirm(&reply, what).await,
        _ => Ok(Some(json!({ "error": "no such step" }))),
    }
}

fn poll(reply: &Reply) -> Answer {
    Ok(Some(json!({
        "sleep": reply.polling_sleep()?.as_secs(),
        "config": reply.config_data_request().is_some(),
        "update": reply.update().is_some(),
        "cancel": reply.cancel_action().is_some(),
        "confirmation": reply.confirmation_base().is_some(),
    })))
}

/// config MODE KEY=VALUE...: sends attributes, if the server asks for them.
async fn config(reply: &Reply, args: &[String]) -> Answer {
    let Some(request) = reply.config_data_request() else {
        return Ok(None);
    };
    let mode = match args[0].as_str() {
        "merge" => Some(Mode::Merge),
        "replace" => Some(Mode::Replace),
        "remove" => Some(Mode::Remove),
        _ => None,
    };
    let data: BTreeMap<&str, &str> =
        args[1..].iter().filter_map(|a| a.split_once('=')).collect();

    request
        .upload(Execution::Closed, Finished::Success, mode, data, vec![])
        .await?;
    Ok(Some(json!({ "sent": true })))
}

async fn pending(reply: &Reply) -> Result<Option<Update>, Error> {
    match reply.update() {
        Some(update) => Ok(Some(update.fetch().await?)),
        None => Ok(None),
    }
}

fn document(update: &Update) -> Value {
    let chunks: Vec<Value> = update
        .chunks()
        .map(|c| {
            let artifacts: Vec<Value> = c
                .artifacts()
                .map(|a| json!({ "filename": a.filename(), "size": a.size() }))
                .collect();
            json!({
                "part": c.part(), "name": c.name(), "version": c.version(),
                "artifacts": artifacts,
            })
        })
        .collect();

    json!({
        "action": update.action_id(),
        "download": update.download_type(),
        "update": update.update_type(),
        "window": update.maintenance_window(),
        "chunks": chunks,
    })
}

async fn fetch(reply: &Reply) -> Answer {
    Ok(pending(reply).await?.map(|update| document(&update)))
}

/// install DIR: downloads into DIR with all three checksums, with progress,
/// then closes with success.
async fn install(reply: &Reply, dir: &Path) -> Answer {
    let Some(update) = pending(reply).await? else {
        return Ok(None);
    };
    let mut answer = document(&update);

    update
        .send_feedback(Execution::Proceeding, Finished::None, vec!["start"])
        .await?;
    update
        .send_feedback(Execution::Download, Finished::None, vec!["fetching"])
        .await?;

    let mut files = Vec::new();
    for artifact in update.download(dir).await? {
        artifact.check_md5().await?;
        artifact.check_sha1().await?;
        artifact.check_sha256().await?;
        files.push(json!({
            "file": artifact.file(), "md5": artifact.md5().await,
            "sha1": artifact.sha1().await, "sha256": artifact.sha256().await,
        }));
    }
    answer["files"] = files.into();

    update
        .send_feedback(Execution::Downloaded, Finished::None, vec!["there"])
        .await?;
    update
        .send_feedback_with_progress(
            Execution::Proceeding, Finished::None,
            json!({ "cnt": 3, "of": 4 }), vec!["writing"],
        )
        .await?;
    update
        .send_feedback(Execution::Closed, Finished::Success, vec!["done"])
        .await?;
    Ok(Some(answer))
}

/// The same bytes once for each checksum, never stored.
async fn stream(reply: &Reply) -> Answer {
    let Some(update) = pending(reply).await? else {
        return Ok(None);
    };
    let mut sizes = Vec::new();

    for chunk in update.chunks() {
        for artifact in chunk.artifacts() {
            let md5 = artifact.download_stream_with_md5_check().await?;
            sizes.push(md5.try_fold(0, sum).await?);
            let sha1 = artifact.download_stream_with_sha1_check().await?;
            sizes.push(sha1.try_fold(0, sum).await?);
            let sha256 = artifact.download_stream_with_sha256_check().await?;
            sizes.push(sha256.try_fold(0, sum).await?);
        }
    }
    Ok(Some(json!({ "sizes": sizes })))
}

async fn sum<B: AsRef<[u8]>>(n: usize, bytes: B) -> Result<usize, Error> {
    Ok(n + bytes.as_ref().len())
}

fn execution(word: &str) -> Execution {
    match word {
        "closed" => Execution::Closed,
        "canceled" => Execution::Canceled,
        "scheduled" => Execution::Scheduled,
        "rejected" => Execution::Rejected,
        "resumed" => Execution::Resumed,
        "download" => Execution::Download,
        "downloaded" => Execution::Downloaded,
        _ => Execution::Proceeding,
    }
}

fn finished(word: &str) -> Finished {
    match word {
        "success" => Finished::Success,
        "failure" => Finished::Failure,
        _ => Finished::None,
    }
}

/// feedback EXECUTION FINISHED [PROGRESS-JSON [DETAIL...]]
async fn feedback(reply: &Reply, args: &[String]) -> Answer {
    let Some(update) = pending(reply).await? else {
        return Ok(None);
    };
    let progress: Option<Value> =
        args.get(2).and_then(|p| serde_json::from_str(p).ok());
    let details = args.iter().skip(3).map(String::as_str).collect();

    update
        .send_feedback_with_progress(
            execution(&args[0]), finished(&args[1]), progress, details,
        )
        .await?;
    Ok(Some(json!({ "action": update.action_id() })))
}

/// cancel EXECUTION FINISHED: answers the server's wish to cancel.
async fn cancel(reply: &Reply, args: &[String]) -> Answer {
    let Some(request) = reply.cancel_action() else {
        return Ok(None);
    };
    let id = request.id().await?;

    request
        .send_feedback(Execution::Proceeding, Finished::None, vec!["stopping"])
        .await?;
    request
        .send_feedback(execution(&args[0]), finished(&args[1]), vec![])
        .await?;
    Ok(Some(json!({ "action": id })))
}

async fn confirm(reply: &Reply, what: &str) -> Answer {
    let Some(request) = reply.confirmation_base() else {
        return Ok(None);
    };
    let info = request.update_info().await?;
    let action = info.action_id().to_string();

    if what == "confirm" {
        request.confirm().await?;
    } else {
        request.decline().await?;
    }
    Ok(Some(json!({ "action": action, "metadata": info.metadata() })))
}
