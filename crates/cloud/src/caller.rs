//! Who calls an operation over HTTP, and whether it may: an access key may do everything in its account, a device
//! only what its policies say, and only on the data plane. How a signature or a TLS session proved it is unknown here.

use policy::Request;
use wire::{Operation, Refusal};

use crate::events::Refused;
use crate::house::House;
use crate::identity::{self, Standing};
use crate::neighbours::sts::session::RoleSession;
use crate::operation::{Answer, Failure, Started};
use crate::scope::{Context, Read, Scope};

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Where it acts.
    pub scope: Scope,
    /// What it proved to be.
    pub identity: Identity,
}

/// What a caller proved to be.
#[derive(Clone, Debug)]
pub enum Identity {
    /// The holder of an access key.
    Key(String),
    /// Somebody who took a role, with the credentials given out for that.
    Role(RoleSession),
    /// A device that showed a certificate over TLS.
    Device {
        /// The certificate's id.
        certificate_id: String,
        /// The address it calls from, without the port.
        source_ip: String,
    },
}

/// The services that a device may call with its certificate.
const DATA_PLANES: [&str; 2] = ["iot-data", "iot-jobs-data"];

impl House {
    /// Where a certificate belongs for who asked for this host name, if it is known there.
    pub fn scope_of(&self, certificate_id: &str, server_name: Option<&str>) -> Result<Option<Scope>, store::Fault> {
        identity::scope_of(&self.store.read(), certificate_id, server_name)
    }

    /// Asks the device's policies about the operation, and about the second action if there is one.
    pub(crate) fn authorize(
        &self,
        caller: &Caller,
        operation: &Operation,
        started: &Started,
        cx: &Context,
    ) -> Answer<()> {
        let Identity::Device { certificate_id, source_ip } = &caller.identity else { return Ok(()) };
        let refused = Refused {
            principal: certificate_id.clone(),
            action: format!("iot:{}", operation.name),
            resource: cx.scope.arn(format_args!("{}", started.resource)),
            peer: source_ip.clone(),
            ..Refused::default()
        };
        if !DATA_PLANES.contains(&operation.service) {
            let reason =
                "a device certificate opens the data plane only; sign control-plane requests with an access key";
            return forbidden(Refused { decision: "NOT_DATA_PLANE".into(), reason: reason.into(), ..refused });
        }
        let view = self.store.read();
        let db = Read::new(&view, cx);
        let certificate = match identity::standing(db, certificate_id)? {
            Standing::Active(certificate) => certificate,
            other => {
                let (decision, reason) = (other.decision().into(), other.reason());
                return forbidden(Refused { decision, reason, ..refused });
            }
        };
        let mut context = identity::certificate_context(certificate_id, &certificate);
        context.set(policy::keys::SOURCE_IP, source_ip);
        let set = identity::policy_set(db, certificate_id, context)?;
        for action in [Some(refused.action.as_str()), started.also].into_iter().flatten() {
            let request = Request::new(action, refused.resource.as_str(), cx.now);
            let decision = set.decide(&request);
            if !decision.is_allowed() {
                let refused = Refused { action: action.to_owned(), ..refused.clone() };
                return forbidden(identity::explained(refused, &set, &request, &decision));
            }
        }
        Ok(())
    }
}

fn forbidden(refused: Refused) -> Answer<()> {
    let message = format!("{} on {} is not allowed: {}", refused.action, refused.resource, refused.decision);
    Err(Failure::Told(Box::new((Refusal::forbidden(message), refused))))
}
