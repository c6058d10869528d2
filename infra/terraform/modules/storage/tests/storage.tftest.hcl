mock_provider "google" {
  override_during = plan
}

variables {
  project_id = "acme-dev-1"
  prefix     = "tandem-dev"
  location   = "asia-south1"
  buckets = {
    files  = { writers = { gateway = "serviceAccount:g@acme-dev-1.iam.gserviceaccount.com" } }
    models = { versioned = true, readers = { vllm = "serviceAccount:v@acme-dev-1.iam.gserviceaccount.com" } }
    drops  = { delete_after_days = 3, delete_prefix = "in/" }
  }
}

run "no_bucket_is_public" {
  command = plan
  assert {
    condition     = alltrue([for bucket in google_storage_bucket.main : bucket.public_access_prevention == "enforced" && bucket.uniform_bucket_level_access])
    error_message = "Public access is impossible, not just unused."
  }
}

run "writers_may_not_administer" {
  command = plan
  assert {
    condition     = google_storage_bucket_iam_member.writer["files gateway"].role == "roles/storage.objectUser" && google_storage_bucket_iam_member.reader["models vllm"].role == "roles/storage.objectViewer"
    error_message = "Rights are on objects only."
  }
}

run "only_what_should_go_goes" {
  command = plan
  assert {
    condition     = length(google_storage_bucket.main["files"].lifecycle_rule) == 1 && length(google_storage_bucket.main["drops"].lifecycle_rule) == 2 && length(google_storage_bucket.main["models"].lifecycle_rule) == 2
    error_message = "Files live as long as the database says; lifecycle rules are for what is asked."
  }
  assert {
    condition     = !google_storage_bucket.main["files"].force_destroy
    error_message = "Buckets with objects stay, unless asked."
  }
}

run "a_day_of_soft_delete_is_refused" {
  command = plan
  variables {
    buckets = { files = { soft_delete_days = 1 } }
  }
  expect_failures = [var.buckets]
}

run "a_public_reader_is_refused" {
  command = plan
  variables {
    buckets = { files = { readers = { all = "allUsers" } } }
  }
  expect_failures = [var.buckets]
}

run "capitals_are_refused" {
  command = plan
  variables {
    buckets = { Files = {} }
  }
  expect_failures = [var.buckets]
}

run "no_days_are_refused" {
  command = plan
  variables {
    buckets = { files = { delete_after_days = 0 } }
  }
  expect_failures = [var.buckets]
}
