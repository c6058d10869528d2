mock_provider "google" {
  override_during = plan

  mock_resource "google_artifact_registry_repository" {
    defaults = { name = "tandem-dev-images" }
  }
}

variables {
  prefix  = "tandem-dev"
  region  = "asia-south1"
  readers = { workers = "serviceAccount:n@acme-dev-1.iam.gserviceaccount.com" }
  writers = { ci = "serviceAccount:ci@acme-dev-1.iam.gserviceaccount.com" }
}

run "a_tag_means_one_image" {
  command = plan
  assert {
    condition     = google_artifact_registry_repository.images.docker_config[0].immutable_tags
    error_message = "Tags are immutable."
  }
}

run "only_our_repository_is_written" {
  command = plan
  assert {
    condition     = length(google_artifact_registry_repository_iam_member.writer) == 1 && length(google_artifact_registry_repository_iam_member.reader) == 2
    error_message = "Nodes pull from both, CI pushes to one."
  }
}

run "public_images_are_refused" {
  command = plan
  variables {
    readers = { all = "allUsers" }
  }
  expect_failures = [var.readers]
}

run "public_pushes_are_refused" {
  command = plan
  variables {
    writers = { all = "allUsers" }
  }
  expect_failures = [var.writers]
}

run "yesterdays_images_stay" {
  command = plan
  variables {
    untagged_days = 1
  }
  expect_failures = [var.untagged_days]
}
