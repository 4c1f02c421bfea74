//! The topics a connection has published to lately, with the answers found then: that it may, and who gets it. An answer
//! counts only while policies and subscriptions are what they were. Knows nothing of what is published.

use std::sync::{Arc, PoisonError};

use broker::{Gate as _, Route};
use mqtt::{Publish, Topic};

use super::Connection;
use crate::house::Space;

/// Topics that a connection has at hand; a device publishes to few.
const AT_HAND: usize = 8;

/// The topics at hand, the latest last.
#[derive(Default)]
pub(super) struct Paths {
    paths: Vec<Path>,
    space: Option<Arc<Space>>,
}

struct Path {
    topic: Topic,
    /// Stands for the policies that allowed it.
    token: u64,
    route: Option<Route>,
}

impl Connection {
    /// Goes the way that a message of this topic went before, if the answers of then still count.
    pub(super) fn known_path<T>(&self, publish: &Publish, go: impl FnOnce(&Space, &Route) -> T) -> Option<T> {
        if publish.retain || publish.qos == mqtt::QoS::ExactlyOnce || publish.properties.is_some() {
            return None;
        }
        let topic = publish.topic.as_ref()?;
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let Paths { paths, space } = &mut *paths;
        let space = space.as_ref()?;
        let path = paths.iter_mut().rev().find(|path| path.topic == *topic)?;
        if path.token != self.grant.token() {
            return None;
        }
        let route = match path.route.take().filter(|route| space.broker.is_current(route)) {
            Some(route) => path.route.insert(route),
            None => path.route.insert(space.broker.route(topic.as_str())),
        };
        Some(go(space, route))
    }

    /// Remembers that a plain message may be published on this topic by the policies that `token` stands for.
    pub(super) fn learn_path(&self, publish: &Publish, token: u64, space: &Arc<Space>) {
        let Some(topic) = publish.topic.as_ref().filter(|_| token != 0) else { return };
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths.space.get_or_insert_with(|| Arc::clone(space));
        paths.paths.retain(|path| path.topic != *topic);
        if paths.paths.len() >= AT_HAND {
            paths.paths.remove(0);
        }
        paths.paths.push(Path { topic: topic.compact(), token, route: None });
    }
}
