mock_provider "google" {
  override_during = plan
}

variables {
  prefix  = "tandem-dev"
  regions = { asia-south1 = { cidr = "10.16.0.0/12" } }
}

run "subnets_are_cut_from_the_regions_block" {
  command = plan
  assert {
    condition     = google_compute_subnetwork.main["models-asia-south1"].secondary_ip_range[0].ip_cidr_range == "10.16.0.0/14"
    error_message = "The models' pods have the first quarter of the block."
  }
  assert {
    condition     = endswith(local.cuts["asia-south1"].connector, "/28")
    error_message = "A connector takes a /28, not ${local.cuts["asia-south1"].connector}."
  }
  assert {
    condition     = alltrue([for subnet in google_compute_subnetwork.main : subnet.private_ip_google_access && length(subnet.log_config) == 1])
    error_message = "Every subnet reaches Google's APIs privately and logs its flows."
  }
}

run "a_second_region_is_a_second_block" {
  command = plan
  variables {
    regions = { asia-south1 = { cidr = "10.16.0.0/12" }, europe-west4 = { cidr = "10.32.0.0/12" } }
  }
  assert {
    condition     = length(google_compute_subnetwork.main) == 6 && length(google_compute_router_nat.main) == 2
    error_message = "Each region has its subnets and its way out."
  }
}

run "direct_egress_needs_no_connector" {
  command = plan
  assert {
    condition     = length(google_vpc_access_connector.main) == 0
    error_message = "Direct VPC egress must not pay for connectors."
  }
}

run "a_connector_is_a_switch" {
  command = plan
  variables {
    serverless_egress = "connector"
  }
  assert {
    condition     = output.egress["asia-south1"].subnetwork == null && google_vpc_access_connector.main["asia-south1"].name == "tandem-dev-as1"
    error_message = "Services get the connector instead of a subnet."
  }
  assert {
    condition     = contains(google_compute_firewall.models.source_ranges, local.cuts["asia-south1"].connector)
    error_message = "The connector's machines may reach models."
  }
}

run "only_callers_reach_models" {
  command = plan
  assert {
    condition     = !contains(google_compute_firewall.models.source_ranges, "0.0.0.0/0") && alltrue([for rule in google_compute_firewall.models.allow : rule.ports == tolist(["8000"])])
    error_message = "Models are open to orchestrators only, at their port only."
  }
}

run "inner_services_are_found_through_the_network" {
  command = plan
  assert {
    condition     = contains(google_dns_record_set.run.rrdatas, "199.36.153.8") && google_dns_record_set.run.name == "*.run.app."
    error_message = "run.app must lead to the private addresses, or internal ingress refuses the calls."
  }
}

run "fixed_addresses_for_allow_lists" {
  command = plan
  variables {
    nat_addresses = 2
  }
  assert {
    condition     = length(google_compute_address.nat) == 2 && google_compute_router_nat.main["asia-south1"].nat_ip_allocate_option == "MANUAL_ONLY"
    error_message = "NAT uses the reserved addresses."
  }
}

run "overlapping_regions_are_refused" {
  command = plan
  variables {
    regions = { asia-south1 = { cidr = "10.16.0.0/12" }, europe-west4 = { cidr = "10.24.0.0/13" } }
  }
  expect_failures = [google_compute_network.main]
}

run "a_region_over_the_managed_services_is_refused" {
  command = plan
  variables {
    private_services_cidr = "10.20.0.0/20"
  }
  expect_failures = [google_compute_network.main]
}

run "a_small_block_is_refused" {
  command = plan
  variables {
    regions = { asia-south1 = { cidr = "10.16.0.0/20" } }
  }
  expect_failures = [var.regions]
}

run "a_block_that_begins_in_the_middle_is_refused" {
  command = plan
  variables {
    regions = { asia-south1 = { cidr = "10.17.0.0/12" } }
  }
  expect_failures = [var.regions]
}

run "a_zone_is_no_region" {
  command = plan
  variables {
    regions = { asia-south1-a = { cidr = "10.16.0.0/12" } }
  }
  expect_failures = [var.regions]
}

run "no_region_is_refused" {
  command = plan
  variables {
    regions = {}
  }
  expect_failures = [var.regions]
}

run "another_way_out_is_refused" {
  command = plan
  variables {
    serverless_egress = "public"
  }
  expect_failures = [var.serverless_egress]
}

run "a_domain_without_a_dot_is_refused" {
  command = plan
  variables {
    internal_domain = "tandem.internal"
  }
  expect_failures = [var.internal_domain]
}

run "too_many_addresses_are_refused" {
  command = plan
  variables {
    nat_addresses = 99
  }
  expect_failures = [var.nat_addresses]
}

run "a_tiny_range_of_managed_services_is_refused" {
  command = plan
  variables {
    private_services_cidr = "10.0.0.0/28"
  }
  expect_failures = [var.private_services_cidr]
}
