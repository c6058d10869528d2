mock_provider "google" {
  override_during = plan
}

variables {
  prefix  = "tandem-dev"
  secrets = { openai = { description = "Key of OpenAI", readers = { orchestrator = "serviceAccount:o@acme-dev-1.iam.gserviceaccount.com" } } }
}

run "each_reader_gets_one_secret" {
  command = plan
  assert {
    condition     = length(google_secret_manager_secret_iam_member.reader) == 1 && google_secret_manager_secret_iam_member.reader["openai orchestrator"].role == "roles/secretmanager.secretAccessor"
    error_message = "Rights are on the one secret."
  }
  assert {
    condition     = google_secret_manager_secret.main["openai"].secret_id == "tandem-dev-openai" && length(google_secret_manager_secret.main["openai"].replication[0].auto) == 1
    error_message = "Google chooses the places unless they are named."
  }
}

run "secrets_stay_where_they_must" {
  command = plan
  variables {
    locations = ["asia-south1", "asia-south2"]
  }
  assert {
    condition     = length(google_secret_manager_secret.main["openai"].replication[0].user_managed[0].replicas) == 2
    error_message = "Copies are in the named regions only."
  }
}

run "a_public_secret_is_refused" {
  command = plan
  variables {
    secrets = { openai = { description = "x", readers = { all = "allAuthenticatedUsers" } } }
  }
  expect_failures = [var.secrets]
}

run "capitals_are_refused" {
  command = plan
  variables {
    secrets = { OpenAI = { description = "x" } }
  }
  expect_failures = [var.secrets]
}
