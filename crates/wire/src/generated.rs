//! The models of the services, as `cargo xtask gen` prints them. Nothing here is written by hand.

/// CloudWatch: metrics and alarms.
pub mod cloudwatch;
/// DynamoDB: tables and items.
pub mod dynamodb;
/// Identity and Access Management: roles and policies.
pub mod iam;
/// AWS IoT's control plane: 272 operations.
pub mod iot;
/// The data plane: shadows, publications, connections.
pub mod iot_data;
/// The data plane of jobs.
pub mod iot_jobs_data;
/// Lambda: functions.
pub mod lambda;
/// CloudWatch Logs: log groups.
pub mod logs;
/// Secrets Manager.
pub mod secretsmanager;
/// The Security Token Service.
pub mod sts;
