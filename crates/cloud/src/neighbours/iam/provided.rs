//! The policies that every account sees under AWS's own ARNs, so that walkthroughs can attach them: those that IoT examples
//! name, under AWS's names. Their documents are ours and shorter: they grant what the name says, everywhere. Who has one
//! attached is unknown here.

use aws_lc_rs::digest;

/// When they came, in milliseconds: with IAM's managed policies, at the beginning of 2015.
pub(super) const SINCE: i64 = 1_420_070_400_000;

/// A policy that comes with the place.
#[derive(Debug)]
pub(super) struct Provided {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    /// What it allows, on everything.
    actions: &'static [&'static str],
}

const fn policy(name: &'static str, actions: &'static [&'static str]) -> Provided {
    Provided { path: "/", name, actions }
}

const fn of_services(name: &'static str, actions: &'static [&'static str]) -> Provided {
    Provided { path: "/service-role/", name, actions }
}

/// All of them, by name.
pub(super) static ALL: [Provided; 35] = [
    policy("AWSIoTConfigAccess", &["iot:*"]),
    policy("AWSIoTConfigReadOnlyAccess", &["iot:Describe*", "iot:Get*", "iot:List*"]),
    policy(
        "AWSIoTDataAccess",
        &[
            "iot:Connect",
            "iot:Publish",
            "iot:Subscribe",
            "iot:Receive",
            "iot:GetThingShadow",
            "iot:UpdateThingShadow",
            "iot:DeleteThingShadow",
            "iot:ListNamedShadowsForThing",
        ],
    ),
    policy("AWSIoTFullAccess", &["iot:*", "iotjobsdata:*"]),
    of_services(
        "AWSIoTLogging",
        &[
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "logs:PutMetricFilter",
            "logs:PutRetentionPolicy",
        ],
    ),
    of_services("AWSIoTOTAUpdate", &["iot:CreateJob", "signer:DescribeSigningJob"]),
    of_services(
        "AWSIoTRuleActions",
        &[
            "dynamodb:PutItem",
            "kinesis:PutRecord",
            "iot:Publish",
            "s3:PutObject",
            "sns:Publish",
            "sqs:SendMessage*",
            "cloudwatch:SetAlarmState",
            "cloudwatch:PutMetricData",
            "es:ESHttpPut",
            "firehose:PutRecord",
        ],
    ),
    of_services("AWSIoTThingsRegistration", &["iot:*Thing*", "iot:*Certificate*", "iot:*Policy", "iot:*PolicyVersion"]),
    of_services("AWSLambdaBasicExecutionRole", LOGS),
    of_services(
        "AWSLambdaDynamoDBExecutionRole",
        &[
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
    ),
    policy("AWSLambdaExecute", &["logs:*", "s3:GetObject", "s3:PutObject"]),
    policy(
        "AWSLambdaInvocation-DynamoDB",
        &["lambda:InvokeFunction", "dynamodb:DescribeStream", "dynamodb:GetRecords"],
    ),
    of_services(
        "AWSLambdaKinesisExecutionRole",
        &[
            "kinesis:Describe*",
            "kinesis:Get*",
            "kinesis:List*",
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
    ),
    of_services("AWSLambdaRole", &["lambda:InvokeFunction"]),
    of_services(
        "AWSLambdaSQSQueueExecutionRole",
        &[
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
    ),
    of_services("AWSLambdaVPCAccessExecutionRole", LOGS),
    policy("AWSLambda_FullAccess", &["lambda:*", "iam:PassRole", "logs:Describe*", "logs:FilterLogEvents"]),
    policy("AWSLambda_ReadOnlyAccess", &["lambda:Get*", "lambda:List*"]),
    policy("AWSStepFunctionsFullAccess", &["states:*"]),
    policy("AWSXRayDaemonWriteAccess", &["xray:Put*", "xray:GetSampling*"]),
    policy("AdministratorAccess", &["*"]),
    policy("AmazonDynamoDBFullAccess", &["dynamodb:*"]),
    policy("AmazonDynamoDBFullAccess_v2", &["dynamodb:*"]),
    policy(
        "AmazonDynamoDBReadOnlyAccess",
        &[
            "dynamodb:Describe*",
            "dynamodb:Get*",
            "dynamodb:BatchGet*",
            "dynamodb:List*",
            "dynamodb:Query",
            "dynamodb:Scan",
        ],
    ),
    policy("AmazonKinesisFirehoseFullAccess", &["firehose:*"]),
    policy("AmazonKinesisFullAccess", &["kinesis:*"]),
    policy("AmazonS3FullAccess", &["s3:*"]),
    policy("AmazonS3ReadOnlyAccess", &["s3:Get*", "s3:List*"]),
    policy("AmazonSNSFullAccess", &["sns:*"]),
    policy("AmazonSQSFullAccess", &["sqs:*"]),
    policy("AmazonTimestreamFullAccess", &["timestream:*"]),
    policy("CloudWatchFullAccess", &["cloudwatch:*", "logs:*"]),
    policy("CloudWatchLogsFullAccess", &["logs:*"]),
    policy("ReadOnlyAccess", &["*:Describe*", "*:Get*", "*:List*"]),
    policy("SecretsManagerReadWrite", &["secretsmanager:*"]),
];

/// What every function may write.
const LOGS: &[&str] = &["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"];

/// The policy of this path and name.
pub(super) fn named(path: &str, name: &str) -> Option<&'static Provided> {
    ALL.iter().find(|policy| policy.path == path && policy.name == name)
}

impl Provided {
    pub(super) fn arn(&self) -> String {
        super::arn("aws", "policy", self.path, self.name)
    }

    /// An id of AWS's form that is always the same.
    pub(super) fn id(&self) -> String {
        let hash = digest::digest(&digest::SHA256, self.name.as_bytes());
        let letter =
            |byte: &u8| super::LETTERS.get(usize::from(*byte) % super::LETTERS.len()).map_or('A', |it| char::from(*it));
        std::iter::once("ANPA".to_owned())
            .chain(hash.as_ref().iter().take(17).map(|byte| letter(byte).to_string()))
            .collect()
    }

    pub(super) fn document(&self) -> String {
        let actions = self.actions.iter().map(|action| format!("\"{action}\"")).collect::<Vec<_>>().join(",");
        format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":[{actions}],"Resource":"*"}}]}}"#)
    }
}

#[cfg(test)]
mod tests {
    use policy::iam::{Document, Kind};

    use super::*;

    #[test]
    fn every_policy_that_comes_with_the_place_is_one() {
        let mut ids = std::collections::HashSet::new();
        for provided in &ALL {
            assert!(Document::parse(&provided.document(), Kind::Managed).is_ok(), "{provided:?}");
            assert!(ids.insert(provided.id()) && provided.id().len() == 21, "{provided:?}");
        }
        assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
    }
}
