//! Clients that update shadows over HTTP: each has a kept connection and two requests that take turns. An update is
//! acknowledged by its answer.

use std::net::SocketAddr;

use super::documents::{FIRST, REPORTS, thing};
use crate::Failure;
use crate::http::{Line, request};
use crate::load::Client;
use crate::ombra::Ombra;

/// Whoever updates over HTTP: things whose shadows exist.
pub(crate) struct Clients {
    address: SocketAddr,
}

/// Updates the shadow of one thing.
pub(crate) struct Updater {
    line: Line,
    requests: [Vec<u8>; 2],
    turn: usize,
}

/// Makes the shadows of so many things.
pub(crate) async fn prepare(ombra: &Ombra, things: usize) -> Result<Clients, Failure> {
    let mut line = Line::connect(ombra.http).await?;
    for number in 0..things {
        line.call(&request(ombra.http, "iotdata", "POST", &shadow(number), &[], FIRST)).await?;
    }
    Ok(Clients { address: ombra.http })
}

fn shadow(number: usize) -> String {
    format!("/things/{}/shadow", thing(number))
}

impl Clients {
    /// The first `size` of them, connected.
    pub(crate) async fn connect(&self, size: usize) -> Result<Vec<Updater>, Failure> {
        let mut updaters = Vec::with_capacity(size);
        for number in 0..size {
            let line = Line::connect(self.address).await?;
            let requests = REPORTS.map(|report| request(self.address, "iotdata", "POST", &shadow(number), &[], report));
            updaters.push(Updater { line, requests, turn: 0 });
        }
        Ok(updaters)
    }
}

impl Client for Updater {
    async fn ask(&mut self) -> Result<(), Failure> {
        self.turn ^= 1;
        self.line.call(&self.requests[self.turn]).await?;
        Ok(())
    }
}
