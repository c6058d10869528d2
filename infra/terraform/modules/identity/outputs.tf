output "emails" {
  description = "Addresses of the accounts, by service; known once their rights are granted."
  value       = { for name, account in google_service_account.main : name => account.email }
  depends_on  = [google_project_iam_member.main]
}

output "members" {
  description = "The accounts as members of a binding, by service."
  value       = { for name, account in google_service_account.main : name => account.member }
}
