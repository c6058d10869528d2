mock_provider "google" {
  override_during = plan
}

variables {
  name            = "tandem-dev-migrate"
  region          = "asia-south1"
  image           = "r/tandem@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  command         = ["tandem"]
  args            = ["migrate", "up"]
  service_account = "tandem-dev-migrate@acme-dev-1.iam.gserviceaccount.com"
  database_proxy  = { image = "r/proxy@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", args = ["--private-ip", "p:r:i"] }
  egress          = { network = "n", subnetwork = "s" }
}

run "it_runs_once_for_each_image" {
  command = plan
  assert {
    condition     = google_cloud_run_v2_job.main.run_execution_token == substr(sha256(var.image), 0, 12) && google_cloud_run_v2_job.main.template[0].template[0].max_retries == 0
    error_message = "The image decides; a failure is not repeated."
  }
}

run "the_proxy_starts_first_and_ends_well" {
  command = plan
  assert {
    condition     = contains(google_cloud_run_v2_job.main.template[0].template[0].containers[0].depends_on, "database-proxy") && contains(google_cloud_run_v2_job.main.template[0].template[0].containers[1].args, "--exit-zero-on-sigterm")
    error_message = "The job waits for the proxy, and the proxy's end is no failure."
  }
}

run "a_tag_is_refused" {
  command = plan
  variables {
    image = "r/tandem:latest"
  }
  expect_failures = [var.image]
}

run "a_tag_of_the_proxy_is_refused" {
  command = plan
  variables {
    database_proxy = { image = "r/proxy:2", args = [] }
  }
  expect_failures = [var.database_proxy]
}

run "the_default_account_is_refused" {
  command = plan
  variables {
    service_account = "123456789012-compute@developer.gserviceaccount.com"
  }
  expect_failures = [var.service_account]
}

run "a_secret_in_plain_sight_is_refused" {
  command = plan
  variables {
    env = { DATABASE_PASSWORD = "hunter2" }
  }
  expect_failures = [var.env]
}

run "a_second_is_too_short" {
  command = plan
  variables {
    timeout_seconds = 1
  }
  expect_failures = [var.timeout_seconds]
}

run "a_name_with_capitals_is_refused" {
  command = plan
  variables {
    name = "Migrate"
  }
  expect_failures = [var.name]
}
