//! `DescribeEndpoint`: every type that AWS knows answers with where this server is, and any other is refused by name.
//! Whether the address answers is a matter of the end-to-end tests.

use serde_json::json;

use crate::house::Lab;

#[test]
fn every_kind_of_endpoint_is_this_server() {
    let lab = Lab::new();
    for input in [
        json!({}),
        json!({"endpointType": "iot:Data"}),
        json!({"endpointType": "iot:Data-ATS"}),
        json!({"endpointType": "iot:CredentialProvider"}),
        json!({"endpointType": "iot:Jobs"}),
    ] {
        assert_eq!(lab.ok("DescribeEndpoint", input), json!({"endpointAddress": "iot.example.com:8443"}));
    }
}

#[test]
fn an_unknown_kind_of_endpoint_is_refused_by_name() {
    let lab = Lab::new();
    for kind in ["", "iot:data", "iot:DeviceAdvisor", "x"] {
        let (error, message) = lab.refused("DescribeEndpoint", json!({"endpointType": kind}));
        assert_eq!((&*error, message), ("InvalidRequest", format!("Endpoint type {kind} not recognized.")));
    }
}
