mock_provider "google" {
  override_during = plan
}

variables {
  billing_account = "012345-6789AB-CDEF01"
  project_number  = "123456789012"
  prefix          = "tandem-dev"
  amount          = 500
}

run "it_warns_before_and_at_the_end_and_ahead" {
  command = plan
  assert {
    condition     = length(google_billing_budget.main.threshold_rules) == 4 && contains(google_billing_budget.main.threshold_rules[*].spend_basis, "FORECASTED_SPEND")
    error_message = "At 50, 80 and 100 %, and when the forecast is above."
  }
  assert {
    condition     = contains(google_billing_budget.main.budget_filter[0].projects, "projects/123456789012")
    error_message = "Only this project counts."
  }
}

run "a_name_is_no_billing_account" {
  command = plan
  variables {
    billing_account = "acme"
  }
  expect_failures = [var.billing_account]
}

run "nothing_is_no_budget" {
  command = plan
  variables {
    amount = 0
  }
  expect_failures = [var.amount]
}

run "a_sign_is_no_currency" {
  command = plan
  variables {
    currency = "$"
  }
  expect_failures = [var.currency]
}

run "a_projects_name_is_no_number" {
  command = plan
  variables {
    project_number = "acme-dev-1"
  }
  expect_failures = [var.project_number]
}

run "six_channels_are_too_many" {
  command = plan
  variables {
    notification_channels = ["a", "b", "c", "d", "e", "f"]
  }
  expect_failures = [var.notification_channels]
}
