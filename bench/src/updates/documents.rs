//! The shadow of every thing and the reports its device sends: a common size, with nothing in them that compresses
//! unusually well. They are sent as they are; what becomes of them is ombra's affair.

/// What the shadow begins as: half a kilobyte of state, of which not everything is as desired.
pub(crate) const FIRST: &[u8] = br#"{"state":{
    "desired":{"power":"on","mode":"eco","target":{"temperature":21.5,"humidity":45},"schedule":["06:30","08:15","17:00","22:45"],
        "firmware":{"version":"2.4.1","channel":"stable"},"reporting":{"interval":60,"verbose":false}},
    "reported":{"power":"on","mode":"comfort","target":{"temperature":21.0,"humidity":45},"sensors":{"temperature":20.87,"humidity":47.2,"co2":612,"battery":3.71},
        "firmware":{"version":"2.4.0","channel":"stable"},"network":{"rssi":-61,"ssid":"plant-7","uptime":86412},"errors":[]}}}"#;

/// Two reports that take turns, so that every update changes something.
pub(crate) const REPORTS: [&[u8]; 2] = [
    br#"{"state":{"reported":{"power":"on","mode":"eco","target":{"temperature":21.5,"humidity":45},"sensors":{"temperature":20.91,"humidity":47.1,"co2":608,"battery":3.7},"firmware":{"version":"2.4.0","channel":"stable"},"network":{"rssi":-63,"ssid":"plant-7","uptime":86472}}}}"#,
    br#"{"state":{"reported":{"power":"on","mode":"eco","target":{"temperature":21.0,"humidity":45},"sensors":{"temperature":20.88,"humidity":47.3,"co2":611,"battery":3.7},"firmware":{"version":"2.4.0","channel":"stable"},"network":{"rssi":-60,"ssid":"plant-7","uptime":86532}}}}"#,
];

/// The name of a client's own thing.
pub(crate) fn thing(number: usize) -> String {
    format!("bench-{number:03}")
}
