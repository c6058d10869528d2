mock_provider "google" {
  override_during = plan

  mock_resource "google_kms_crypto_key" {
    defaults = { id = "projects/acme-dev-1/locations/asia-south1/keyRings/tandem-state/cryptoKeys/state" }
  }
  mock_resource "google_iam_workload_identity_pool" {
    defaults = { name = "projects/123456789012/locations/global/workloadIdentityPools/tandem-ci" }
  }
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  mock_data "google_storage_project_service_account" {
    defaults = { email_address = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com" }
  }
  mock_resource "google_service_account" {
    defaults = {
      name   = "projects/acme-dev-1/serviceAccounts/ci@acme-dev-1.iam.gserviceaccount.com"
      email  = "ci@acme-dev-1.iam.gserviceaccount.com"
      member = "serviceAccount:ci@acme-dev-1.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id = "acme-dev-1"
  github     = { repository_id = "123456", owner_id = "789" }
}

run "the_state_is_versioned_encrypted_and_private" {
  command = plan

  assert {
    condition     = google_storage_bucket.state.versioning[0].enabled
    error_message = "A damaged state must be recoverable."
  }
  assert {
    condition     = google_storage_bucket.state.public_access_prevention == "enforced" && google_storage_bucket.state.uniform_bucket_level_access
    error_message = "The state must never be public."
  }
  assert {
    condition     = google_storage_bucket.state.encryption[0].default_kms_key_name == google_kms_crypto_key.state.id
    error_message = "The state is encrypted with a key of our own."
  }
}

run "who_reads_a_secret_is_logged" {
  command = plan

  assert {
    condition     = contains(keys(google_project_iam_audit_config.main), "secretmanager") && contains(google_project_iam_audit_config.main["secretmanager"].audit_log_config[*].log_type, "DATA_READ")
    error_message = "Reads of secrets are in the audit log."
  }
}

run "only_the_repository_gets_in_by_number" {
  command = plan

  assert {
    condition     = strcontains(google_iam_workload_identity_pool_provider.github[0].attribute_condition, "repository_id == '123456'")
    error_message = "The provider must be bound to the repository's id."
  }
  assert {
    condition     = strcontains(google_iam_workload_identity_pool_provider.github[0].attribute_mapping["attribute.may"], "refs/heads/main")
    error_message = "Only the main branch may apply."
  }
}

run "applying_takes_the_right_ref" {
  command = plan

  assert {
    condition     = endswith(google_service_account_iam_member.github_apply[0].member, "/attribute.may/apply")
    error_message = "The apply account is for workflows on the apply ref only."
  }
}

run "ci_can_not_make_itself_owner" {
  command = plan

  assert {
    condition     = length(setintersection(local.apply_roles, ["roles/owner", "roles/editor", "roles/resourcemanager.projectIamAdmin"])) == 0
    error_message = "The apply account must not have a role that includes all others."
  }
  assert {
    condition     = strcontains(google_project_iam_member.apply_grants.condition[0].expression, "hasOnly")
    error_message = "What the apply account may grant is a closed list."
  }
}

run "without_github_there_is_no_federation" {
  command = plan
  variables {
    github = null
  }
  assert {
    condition     = length(google_iam_workload_identity_pool.ci) == 0
    error_message = "No pool without a repository."
  }
}

run "cloud_build_of_another_project_may_act_as_ci" {
  command = plan
  variables {
    cloud_build_project_number = "42"
  }
  assert {
    condition     = length(google_service_account_iam_member.cloud_build) == 2
    error_message = "Both accounts are open to Cloud Build."
  }
}

run "a_project_number_is_no_project_id" {
  command = plan
  variables {
    project_id = "123456789012"
  }
  expect_failures = [var.project_id]
}

run "a_zone_is_no_region" {
  command = plan
  variables {
    region = "asia-south1-a"
  }
  expect_failures = [var.region]
}

run "a_long_prefix_is_refused" {
  command = plan
  variables {
    prefix = "a-prefix-that-is-too-long"
  }
  expect_failures = [var.prefix]
}

run "a_repository_by_name_is_refused" {
  command = plan
  variables {
    github = { repository_id = "acme/tandem", owner_id = "789" }
  }
  expect_failures = [var.github]
}

run "a_wildcard_ref_is_refused" {
  command = plan
  variables {
    github = { repository_id = "1", owner_id = "2", apply_ref = "refs/heads/*" }
  }
  expect_failures = [var.github]
}

run "a_name_of_cloud_builds_project_is_refused" {
  command = plan
  variables {
    cloud_build_project_number = "acme-build"
  }
  expect_failures = [var.cloud_build_project_number]
}

run "the_state_is_nobodys_public_reading" {
  command = plan
  variables {
    state_readers = ["allAuthenticatedUsers"]
  }
  expect_failures = [var.state_readers]
}
