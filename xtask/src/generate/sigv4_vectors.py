"""Prints requests signed by botocore, one JSON object a line, at a fixed time and with fixed credentials.

Run as `python3 sigv4_vectors.py > crates/wire/tests/it/sigv4.jsonl` with botocore 1.43 installed. Requests are taken
as they stand when they would go to the socket, so the paths and queries of the client cases are those that real
clients send; nothing is sent.
"""

import datetime
import json
from unittest import mock
from urllib.parse import quote, urlsplit

import botocore.auth
import botocore.session
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials

NOW = datetime.datetime(2026, 3, 14, 15, 9, 26, tzinfo=datetime.timezone.utc)
KEY = "AKIDEXAMPLE"
SECRET = "not/a+secret"
TOKEN = "c2Vzc2lvbg+token/with==signs"
REGION = "eu-west-1"
HOST = "data.ombra.example"


def emit(name, form, service, token, method, url, headers, payload=b""):
    parts = urlsplit(url)
    text = lambda value: value.decode() if isinstance(value, bytes) else str(value)
    headers = [[key, text(value)] for key, value in headers]
    if not any(key.lower() == "host" for key, _ in headers):
        headers.insert(0, ["Host", parts.netloc])
    print(json.dumps({
        "name": name,
        "form": form,
        "service": service,
        "region": REGION,
        "access_key_id": KEY,
        "secret": SECRET,
        "token": token,
        "now": int(NOW.timestamp()),
        "method": method,
        "path": parts.path,
        "query": parts.query,
        "headers": headers,
        "payload": text(payload or b""),
    }, ensure_ascii=False))


def request_for(method, target, body, headers, host):
    request = AWSRequest(method=method, url=f"https://{host}{target}", data=body)
    for key, value in headers:
        request.headers[key] = value
    return request


def header(name, method, target, service="iotdata", body=b"", headers=(), token=None, host=HOST):
    request = request_for(method, target, body, headers, host)
    SigV4Auth(Credentials(KEY, SECRET, token), service, REGION).add_auth(request)
    emit(name, "header", service, token, method, request.url, request.headers.items(), body)


def query(name, method, target, service="iotdata", headers=(), token=None, host=HOST, expires=3600, append=None):
    request = request_for(method, target, b"", headers, host)
    SigV4QueryAuth(Credentials(KEY, SECRET, token), service, REGION, expires=expires).add_auth(request)
    url = request.url
    if append:
        url += "&X-Amz-Security-Token=" + quote(append, safe="")
    emit(name, "query", service, token or append, method, url, request.headers.items())


class QueryAuthWithoutExpiry(SigV4QueryAuth):
    """What MQTT clients of the first generation do: no X-Amz-Expires among the signed parameters."""

    def _modify_request_before_signing(self, request):
        super()._modify_request_before_signing(request)
        request.url = request.url.replace(f"&X-Amz-Expires={self._expires}", "")


def websocket_without_expiry(name, token):
    request = AWSRequest(method="GET", url=f"https://{HOST}:8443/mqtt")
    QueryAuthWithoutExpiry(Credentials(KEY, SECRET), "iotdevicegateway", REGION).add_auth(request)
    url = request.url + ("&X-Amz-Security-Token=" + quote(token, safe="") if token else "")
    emit(name, "query", "iotdevicegateway", token, "GET", url, request.headers.items())


def without_random_headers(request, **_):
    for key in list(request.headers):
        if key.lower().startswith("amz-sdk-"):
            del request.headers[key]


def client(name, service, operation, token=None, **parameters):
    session = botocore.session.Session()
    session.set_credentials(KEY, SECRET, token)
    made = session.create_client(
        service,
        region_name=REGION,
        endpoint_url=f"https://{HOST}:8443",
        config=Config(user_agent="botocore", retries={"max_attempts": 0}, parameter_validation=False),
    )

    def capture(request, **_):
        body = request.body.read() if hasattr(request.body, "read") else request.body
        without_random_headers(request)
        signing_name = made.meta.service_model.signing_name
        emit(name, "header", signing_name, token, request.method, request.url, request.headers.items(), body)
        return AWSResponse(request.url, 200, {}, mock.Mock(stream=lambda: [b"{}"]))

    made.meta.events.register("before-sign", without_random_headers)
    made.meta.events.register("before-send", capture)
    getattr(made, operation)(**parameters)


def header_signed():
    json_body = '{"thingTypeName":"lamp","attributePayload":{"attributes":{"room":"Küche"}}}'.encode()
    json_type = [("Content-Type", "application/json")]
    notes = [("X-Amz-Note", "b"), ("x-amz-note", " a  a "), ("X-AMZ-NOTE", "")]
    header("get_root", "GET", "/")
    header("get_without_path", "GET", "")
    header("get_with_port", "GET", "/things/lamp/shadow", host=HOST + ":8443")
    header("post_with_json", "POST", "/things/lamp", "iot", json_body, json_type)
    header("patch_with_json", "PATCH", "/things/lamp", "iot", json_body, json_type)
    header("delete_with_token", "DELETE", "/things/lamp?expectedVersion=3", "iot", token=TOKEN)
    header("encoded_slash", "POST", "/topics/a%2Fb?qos=1", body=b"on")
    header("encoded_slash_in_lower_case", "POST", "/topics/a%2fb?qos=1", body=b"on")
    header("bare_colon", "GET", "/things/a:b/shadow?name=c:d")
    header("reserved_topic", "POST", "/topics/%24aws%2Fthings%2Flamp%2Fshadow%2Fupdate", body=b"{}")
    header("bare_dollar_and_specials", "GET", "/topics/$aws/things/a@b,c;d=e+f!'()*~-_./x")
    header("unicode_path", "GET", "/things/K%C3%BCche/shadow")
    header("bare_unicode_path", "GET", "/things/Küche/shadow")
    header("dots_and_double_slashes", "GET", "/a//b/./c/../d/")
    header("only_dots", "GET", "/../..")
    header("parameters_out_of_order", "GET", "/things?maxResults=10&attributeName=b&Zeta=1&a-b=1&a=2", "iot")
    header("empty_and_missing_values", "GET", "/things?nextToken=&recursive&maxResults=1", "iot")
    header("duplicate_parameters", "GET", "/tags?tagKeys=b&tagKeys=a&tagKeys=&tagKeys=a%20b&tagKeys=B", "iot")
    header("lone_ampersands", "GET", "/things?&a=1&&b=2&", "iot")
    header("equals_inside_value", "GET", "/things?a=b=c&d==", "iot")
    header("unicode_parameter", "GET", "/things?attributeValue=K%C3%BCche&attributeName=%E6%B0%B4", "iot")
    header("plus_and_percent_in_query", "GET", "/tags?resourceArn=arn%3Aaws%3Aiot%3A%2A&x=a+b", "iot")
    header("folded_header", "GET", "/things", "iot", headers=[("X-Amz-Note", "  a   b \t c  ")])
    header("repeated_header", "GET", "/things", "iot", headers=notes)
    header("unicode_header", "GET", "/things", "iot", headers=[("X-Amz-Note", "Küche")])
    header("many_headers", "POST", "/topics/t", body=b"x", headers=[
        ("Accept", "*/*"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Amz-Mqtt5-Correlation-Data", "YQ=="),
    ])


def query_signed():
    query("query_get", "GET", "/things/lamp/shadow")
    query("query_get_with_parameters", "GET", "/things?z=1&a=&Z=2&a-b=%2F", "iot")
    query("query_encoded_slash", "POST", "/topics/a%2Fb?qos=1", headers=[("X-Amz-Note", "n  n")])
    query("query_with_signed_token", "GET", "/things/lamp/shadow", token=TOKEN)
    query("query_odd_path", "GET", "/things/K%C3%BCche:1/shadow?name=%C3%A9")
    query("websocket", "GET", "/mqtt", "iotdevicegateway")
    query("websocket_for_a_day", "GET", "/mqtt", "iotdevicegateway", expires=86400)
    query("websocket_with_port", "GET", "/mqtt", "iotdevicegateway", host=HOST + ":8443")
    query("websocket_with_signed_token", "GET", "/mqtt", "iotdevicegateway", token=TOKEN)
    query("websocket_with_appended_token", "GET", "/mqtt", "iotdevicegateway", append=TOKEN)
    websocket_without_expiry("websocket_without_expiry", None)
    websocket_without_expiry("websocket_without_expiry_with_appended_token", TOKEN)


def data_clients():
    client("client_publish", "iot-data", "publish", topic="a/b", qos=1, payload=b'{"on":true}')
    client("client_publish_reserved", "iot-data", "publish", TOKEN, topic="$aws/rules/r/a b", payload=b"x")
    client("client_publish_properties", "iot-data", "publish", topic="t:é", retain=True, payload=b"x",
           userProperties='[{"k":"v"}]', payloadFormatIndicator="UTF8_DATA", contentType="text/plain",
           responseTopic="a/ b", correlationData="YQ==", messageExpiry=60)
    client("client_get_shadow", "iot-data", "get_thing_shadow", thingName="a:b", shadowName="c-d_e:f")
    client("client_update_shadow", "iot-data", "update_thing_shadow", TOKEN, thingName="lamp",
           payload='{"state":{"desired":{"room":"Küche"}}}'.encode())
    client("client_jobs", "iot-jobs-data", "describe_job_execution", jobId="$next", thingName="a:b",
           includeJobDocument=True)


def control_clients():
    certificate = "arn:aws:iot:eu-west-1:1:cert/ab"
    client("client_list_things", "iot", "list_things", attributeName="room", attributeValue="K üche/+", maxResults=5)
    client("client_create_thing", "iot", "create_thing", thingName="a:b-c_d",
           attributePayload={"attributes": {"a": "b"}})
    client("client_update_thing", "iot", "update_thing", TOKEN, thingName="lamp", removeThingType=True)
    client("client_untag", "iot", "untag_resource", resourceArn="arn:aws:iot:eu-west-1:1:thing/x", tagKeys=["b", "a"])
    client("client_detach_policy", "iot", "detach_policy", policyName="p=,.@-_+", target=certificate)
    client("client_detach_principal", "iot", "detach_thing_principal", thingName="lamp", principal=certificate)


def main():
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: NOW):
        header_signed()
        query_signed()
        data_clients()
        control_clients()


if __name__ == "__main__":
    main()
