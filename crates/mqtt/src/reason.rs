//! The reason codes of MQTT 5, where each may appear, and what becomes of them in MQTT 3.1.1.
//!
//! Which code answers which misdeed is decided by the callers.

use std::fmt;

/// The packet types that carry reason codes, as bits of a row's set.
const CONNACK: u8 = 1;
const PUBACK: u8 = 1 << 1;
const PUBREL: u8 = 1 << 2;
const SUBACK: u8 = 1 << 3;
const UNSUBACK: u8 = 1 << 4;
const DISCONNECT: u8 = 1 << 5;
const AUTH: u8 = 1 << 6;

/// Where a reason code stands, which limits the codes that may stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    ConnAck,
    /// PUBACK and PUBREC.
    Publish,
    /// PUBREL and PUBCOMP.
    Release,
    SubAck,
    UnsubAck,
    Disconnect,
    Auth,
}

macro_rules! reason_codes {
    ($( $(#[$doc:meta])* $name:ident = $code:literal, $words:literal, $places:expr; )*) => {
        /// Every reason code of MQTT 5.
        ///
        /// 0x00 has three names in the specification (success, normal disconnection, granted QoS 0) and one here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum ReasonCode { $( $(#[$doc])* $name = $code, )* }

        impl ReasonCode {
            /// All reason codes in ascending order.
            pub const ALL: &[ReasonCode] = &[ $( ReasonCode::$name, )* ];

            /// The reason code with this number.
            pub fn from_code(code: u8) -> Option<ReasonCode> {
                match code {
                    $( $code => Some(ReasonCode::$name), )*
                    _ => None,
                }
            }

            /// The code in words, as the specification names it.
            pub fn words(self) -> &'static str {
                match self { $( ReasonCode::$name => $words, )* }
            }

            fn places(self) -> u8 {
                match self { $( ReasonCode::$name => $places, )* }
            }
        }
    };
}

const EVERY_REFUSAL: u8 = CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;

reason_codes! {
    /// It was done; in SUBACK: granted with QoS 0; in DISCONNECT: normal disconnection.
    Success = 0x00, "success", CONNACK | PUBACK | PUBREL | SUBACK | UNSUBACK | DISCONNECT | AUTH;
    /// The subscription is granted with QoS 1.
    GrantedQoS1 = 0x01, "granted QoS 1", SUBACK;
    /// The subscription is granted with QoS 2.
    GrantedQoS2 = 0x02, "granted QoS 2", SUBACK;
    /// The client leaves and wants its will published.
    DisconnectWithWill = 0x04, "disconnect with will message", DISCONNECT;
    /// The message was accepted and nobody subscribes to it.
    NoMatchingSubscribers = 0x10, "no matching subscribers", PUBACK;
    /// There was no such subscription to remove.
    NoSubscriptionExisted = 0x11, "no subscription existed", UNSUBACK;
    /// The authentication goes on with another step.
    ContinueAuthentication = 0x18, "continue authentication", AUTH;
    /// The client starts a re-authentication.
    ReAuthenticate = 0x19, "re-authenticate", AUTH;
    /// Refused without saying why.
    UnspecifiedError = 0x80, "unspecified error", EVERY_REFUSAL;
    /// The bytes received are not a packet.
    MalformedPacket = 0x81, "malformed packet", CONNACK | DISCONNECT;
    /// The packet received was well formed and not allowed then and there.
    ProtocolError = 0x82, "protocol error", CONNACK | DISCONNECT;
    /// Valid, and this receiver does not do it.
    ImplementationSpecificError = 0x83, "implementation specific error", EVERY_REFUSAL;
    /// The server does not speak the version asked for.
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version", CONNACK;
    /// The client identifier is not allowed.
    ClientIdentifierNotValid = 0x85, "client identifier not valid", CONNACK;
    /// The user name or password is not accepted.
    BadUserNameOrPassword = 0x86, "bad user name or password", CONNACK;
    /// The client may not do this.
    NotAuthorized = 0x87, "not authorized", EVERY_REFUSAL;
    /// The server is not available.
    ServerUnavailable = 0x88, "server unavailable", CONNACK;
    /// The server is busy; try again later.
    ServerBusy = 0x89, "server busy", CONNACK | DISCONNECT;
    /// The client has been banned.
    Banned = 0x8A, "banned", CONNACK;
    /// The server is shutting down.
    ServerShuttingDown = 0x8B, "server shutting down", DISCONNECT;
    /// The authentication method is not supported or not the one in use.
    BadAuthenticationMethod = 0x8C, "bad authentication method", CONNACK | DISCONNECT;
    /// Nothing was heard for one and a half times the keep alive.
    KeepAliveTimeout = 0x8D, "keep alive timeout", DISCONNECT;
    /// Another connection uses the same client identifier.
    SessionTakenOver = 0x8E, "session taken over", DISCONNECT;
    /// The topic filter is not accepted.
    TopicFilterInvalid = 0x8F, "topic filter invalid", SUBACK | UNSUBACK | DISCONNECT;
    /// The topic name is not accepted.
    TopicNameInvalid = 0x90, "topic name invalid", CONNACK | PUBACK | DISCONNECT;
    /// The packet identifier is already in use.
    PacketIdentifierInUse = 0x91, "packet identifier in use", PUBACK | SUBACK | UNSUBACK;
    /// The packet identifier is not known.
    PacketIdentifierNotFound = 0x92, "packet identifier not found", PUBREL;
    /// More messages are in flight than the receive maximum.
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded", DISCONNECT;
    /// The topic alias is zero, too large or unknown.
    TopicAliasInvalid = 0x94, "topic alias invalid", DISCONNECT;
    /// The packet is larger than the maximum packet size.
    PacketTooLarge = 0x95, "packet too large", CONNACK | DISCONNECT;
    /// Data comes too fast.
    MessageRateTooHigh = 0x96, "message rate too high", DISCONNECT;
    /// A limit of the implementation or the administration is exceeded.
    QuotaExceeded = 0x97, "quota exceeded", CONNACK | PUBACK | SUBACK | DISCONNECT;
    /// An administrator ended the connection.
    AdministrativeAction = 0x98, "administrative action", DISCONNECT;
    /// The payload does not have the format it claims.
    PayloadFormatInvalid = 0x99, "payload format invalid", CONNACK | PUBACK | DISCONNECT;
    /// Retained messages are not supported.
    RetainNotSupported = 0x9A, "retain not supported", CONNACK | DISCONNECT;
    /// The QoS is higher than the server supports.
    QoSNotSupported = 0x9B, "QoS not supported", CONNACK | DISCONNECT;
    /// The client should use another server for now.
    UseAnotherServer = 0x9C, "use another server", CONNACK | DISCONNECT;
    /// The client should use another server from now on.
    ServerMoved = 0x9D, "server moved", CONNACK | DISCONNECT;
    /// Shared subscriptions are not supported.
    SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported", SUBACK | DISCONNECT;
    /// Connections come too fast.
    ConnectionRateExceeded = 0x9F, "connection rate exceeded", CONNACK | DISCONNECT;
    /// The connection has lasted as long as it may.
    MaximumConnectTime = 0xA0, "maximum connect time", DISCONNECT;
    /// Subscription identifiers are not supported.
    SubscriptionIdentifiersNotSupported = 0xA1, "subscription identifiers not supported", SUBACK | DISCONNECT;
    /// Wildcard subscriptions are not supported.
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported", SUBACK | DISCONNECT;
}

impl ReasonCode {
    /// The number on the wire of MQTT 5.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether it says that something was refused or failed.
    pub fn is_error(self) -> bool {
        self.code() >= 0x80
    }

    /// The CONNACK return code of MQTT 3.1.1, or nothing where 3.1.1 has none and the connection is closed
    /// without a CONNACK (3.1.1: [MQTT-3.2.2-6]).
    pub fn connect_return_code(self) -> Option<u8> {
        match self {
            ReasonCode::Success => Some(0),
            ReasonCode::UnsupportedProtocolVersion => Some(1),
            ReasonCode::ClientIdentifierNotValid => Some(2),
            ReasonCode::ServerUnavailable | ReasonCode::ServerBusy => Some(3),
            ReasonCode::BadUserNameOrPassword => Some(4),
            ReasonCode::NotAuthorized | ReasonCode::Banned => Some(5),
            _ => None,
        }
    }

    /// The reason code that says what a CONNACK return code of MQTT 3.1.1 says.
    pub fn from_connect_return_code(code: u8) -> Option<ReasonCode> {
        match code {
            0 => Some(ReasonCode::Success),
            1 => Some(ReasonCode::UnsupportedProtocolVersion),
            2 => Some(ReasonCode::ClientIdentifierNotValid),
            3 => Some(ReasonCode::ServerUnavailable),
            4 => Some(ReasonCode::BadUserNameOrPassword),
            5 => Some(ReasonCode::NotAuthorized),
            _ => None,
        }
    }

    /// Whether the specification lists the code for that place: [MQTT-3.2.2-8], [MQTT-3.4.2-1],
    /// [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-3.9.3-2], [MQTT-3.11.3-2], [MQTT-3.14.2-1],
    /// [MQTT-3.15.2-1].
    pub(crate) fn may_stand_in(self, place: Place) -> bool {
        let bit = match place {
            Place::ConnAck => CONNACK,
            Place::Publish => PUBACK,
            Place::Release => PUBREL,
            Place::SubAck => SUBACK,
            Place::UnsubAck => UNSUBACK,
            Place::Disconnect => DISCONNECT,
            Place::Auth => AUTH,
        };
        self.places() & bit != 0
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.words(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes of each place, copied by hand from the tables of the specification.
    const TABLES: &[(Place, &[u8])] = &[
        (
            Place::ConnAck,
            &[
                0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99,
                0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
            ],
        ),
        (Place::Publish, &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
        (Place::Release, &[0x00, 0x92]),
        (Place::SubAck, &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2]),
        (Place::UnsubAck, &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]),
        (
            Place::Disconnect,
            &[
                0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95,
                0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
            ],
        ),
        (Place::Auth, &[0x00, 0x18, 0x19]),
    ];

    #[test]
    fn each_code_stands_where_the_specification_lists_it() {
        for (place, codes) in TABLES {
            let got: Vec<u8> = ReasonCode::ALL.iter().filter(|c| c.may_stand_in(*place)).map(|c| c.code()).collect();
            assert_eq!(&got, codes, "{place:?}");
        }
    }

    #[test]
    fn numbers_and_codes_are_one_to_one() {
        let known = (0..=255).filter_map(ReasonCode::from_code).collect::<Vec<_>>();
        assert_eq!(known, ReasonCode::ALL);
        assert_eq!(known.len(), 43);
        for code in known {
            assert_eq!(ReasonCode::from_code(code.code()), Some(code));
        }
    }

    #[test]
    fn return_codes_of_3_1_1_survive_the_way_there_and_back() {
        for code in 0..=5 {
            let reason = ReasonCode::from_connect_return_code(code);
            assert_eq!(reason.and_then(ReasonCode::connect_return_code), Some(code));
        }
        assert_eq!(ReasonCode::from_connect_return_code(6), None);
        assert_eq!(ReasonCode::ProtocolError.connect_return_code(), None);
    }
}
