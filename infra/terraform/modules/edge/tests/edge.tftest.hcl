mock_provider "google" {
  override_during = plan

  mock_resource "google_certificate_manager_dns_authorization" {
    defaults = {
      dns_resource_record = [{ name = "_acme-challenge.ai.example.com.", type = "CNAME", data = "x.authorize.certificatemanager.goog." }]
    }
  }
  mock_resource "google_compute_global_address" {
    defaults = { address = "203.0.113.7" }
  }
}

variables {
  prefix  = "tandem-dev"
  domains = ["ai.example.com"]
  api     = { asia-south1 = "tandem-dev-gateway" }
}

run "a_serverless_backend_has_no_health_check" {
  command = plan
  assert {
    condition     = alltrue([for backend in google_compute_backend_service.main : backend.health_checks == null])
    error_message = "The API answers 400 to health checks of serverless groups; infra/policies looks for timeout_sec."
  }
}

run "every_backend_is_behind_the_firewall_and_logs" {
  command = plan
  variables {
    console = { asia-south1 = "tandem-dev-console" }
  }
  assert {
    condition     = alltrue([for backend in google_compute_backend_service.main : backend.log_config[0].enable])
    error_message = "Requests are logged."
  }
  assert {
    condition     = length(google_compute_backend_service.main) == 2 && contains(one(google_compute_url_map.main.path_matcher[0].path_rule[*].paths), "/v1/*")
    error_message = "The API's paths go to the gateway, all else to the console."
  }
}

run "prompts_are_no_attacks" {
  command = plan
  assert {
    condition     = alltrue([for rule in google_compute_security_policy.main.rule : startswith(rule.match[0].expr[0].expression, "!request.path.startsWith('/v1/')") if rule.priority >= 2000 && rule.priority < 3000])
    error_message = "Rules that read bodies would refuse prompts with SQL in them."
  }
  assert {
    condition     = alltrue([for rule in google_compute_security_policy.main.rule : rule.preview if rule.priority >= 1000 && rule.priority < 3000])
    error_message = "Rules against attacks only log until somebody looked at the log."
  }
}

run "the_firewall_can_enforce" {
  command = plan
  variables {
    firewall_enforces = true
  }
  assert {
    condition     = alltrue([for rule in google_compute_security_policy.main.rule : !rule.preview if rule.priority >= 1000 && rule.priority < 3000])
    error_message = "Now they refuse."
  }
}

run "the_admin_api_can_be_closed_to_others" {
  command = plan
  variables {
    admin_cidrs = ["203.0.113.0/24", "198.51.100.7/32"]
  }
  assert {
    condition     = one([for rule in google_compute_security_policy.main.rule : rule.match[0].expr[0].expression if rule.priority == 200]) == "request.path.startsWith('/admin/') && !(inIpRange(origin.ip, '203.0.113.0/24') || inIpRange(origin.ip, '198.51.100.7/32'))"
    error_message = "Only these addresses reach /admin/."
  }
}

run "plain_http_is_redirected_and_old_tls_refused" {
  command = plan
  assert {
    condition     = google_compute_url_map.to_https.default_url_redirect[0].https_redirect && google_compute_ssl_policy.main.min_tls_version == "TLS_1_2"
    error_message = "TLS 1.2 or newer, always."
  }
}

run "two_regions_are_two_groups_and_a_bad_one_is_left_alone" {
  command = plan
  variables {
    api = { asia-south1 = "tandem-dev-gateway", europe-west4 = "tandem-dev-gateway" }
  }
  assert {
    condition     = length(google_compute_region_network_endpoint_group.main) == 2 && length(google_compute_backend_service.main["api"].outlier_detection) == 1
    error_message = "Each region is a group of the one backend."
  }
}

run "a_zone_of_ours_gets_the_records" {
  command = plan
  variables {
    dns_zone = "example-com"
  }
  assert {
    condition     = google_dns_record_set.address["ai-example-com"].rrdatas == tolist(["203.0.113.7"]) && google_dns_record_set.authorization["ai-example-com"].type == "CNAME"
    error_message = "The address and the proof for the certificate."
  }
}

run "a_wildcard_is_refused" {
  command = plan
  variables {
    domains = ["*.example.com"]
  }
  expect_failures = [var.domains]
}

run "no_gateway_is_refused" {
  command = plan
  variables {
    api = {}
  }
  expect_failures = [var.api]
}

run "admin_addresses_are_blocks" {
  command = plan
  variables {
    admin_cidrs = ["office"]
  }
  expect_failures = [var.admin_cidrs]
}

run "denied_addresses_are_blocks" {
  command = plan
  variables {
    denied_cidrs = ["them"]
  }
  expect_failures = [var.denied_cidrs]
}

run "a_request_a_minute_is_refused" {
  command = plan
  variables {
    requests_per_minute = { address = 1 }
  }
  expect_failures = [var.requests_per_minute]
}

run "a_share_above_one_is_refused" {
  command = plan
  variables {
    log_share = 2
  }
  expect_failures = [var.log_share]
}
