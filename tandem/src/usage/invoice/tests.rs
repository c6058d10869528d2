use super::*;

fn bill(text: &str) -> Bill {
    parse(text.as_bytes(), &[]).unwrap()
}

fn refusal(text: &str) -> String {
    format!("{:#}", parse(text.as_bytes(), &[]).unwrap_err())
}

fn key(model: &str, day: &str) -> (String, NaiveDate) {
    (model.to_owned(), day.parse().unwrap())
}

fn usd(text: &str) -> Money {
    Money::from_usd(text).unwrap()
}

#[test]
fn lines_of_a_day_and_model_are_added_up() {
    let bill = bill(
        "day,model,cost_usd,input_tokens,output_tokens\n2026-01-01,gpt-4o,1.25,\"1,000\",10\n2026-01-01,gpt-4o,$0.25,5,\n\
         2026-01-02,gpt-4o,-0.5,0,0\n",
    );

    assert_eq!(bill.len(), 2);
    assert_eq!(bill[&key("gpt-4o", "2026-01-01")], Billed { cost: usd("1.5"), tokens: Some((1_005, 10)) });
    assert_eq!(bill[&key("gpt-4o", "2026-01-02")].cost, usd("-0.5"));
}

#[test]
fn an_export_of_openai_is_understood() {
    let bill = bill(
        "\u{feff}start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id\n\
         1767225600,1767312000,2026-01-01T00:00:00+00:00,2026-01-02T00:00:00+00:00,0.8958740000000000001,usd,\"gpt-4o-2024-08-06, input\",p\n\
         1767225600,1767312000,2026-01-01T00:00:00+00:00,2026-01-02T00:00:00+00:00,0.1,usd,\"gpt-4o-2024-08-06, cached input\",p\n\
         1767225600,1767312000,2026-01-01T00:00:00+00:00,2026-01-02T00:00:00+00:00,2,usd,\"priority | gpt-5.6-sol, output\",p\n\
         1767225600,1767312000,2026-01-01T00:00:00+00:00,2026-01-02T00:00:00+00:00,3,usd,web search tool calls,p\n\
         1767312000,1767398400,2026-01-02T00:00:00+00:00,2026-01-03T00:00:00+00:00,,,,\n",
    );

    let models: Vec<_> = bill.keys().map(|(model, _)| model.as_str()).collect();
    assert_eq!(models, ["gpt-4o-2024-08-06", "gpt-5.6-sol", "web search tool calls"]);
    assert_eq!(bill[&key("gpt-4o-2024-08-06", "2026-01-01")], Billed { cost: usd("0.995874"), tokens: None });
}

#[test]
fn an_export_of_anthropic_is_understood() {
    let bill = bill(
        "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type\n\
         2026-01-01,Claude Haiku 4.5,Default,k,message,≤ 200k,input_no_cache,0.05,0.05,token\n\
         2026-01-01,Claude Haiku 4.5,Default,k,message,≤ 200k,output,0.02,0.02,token\n",
    );

    assert_eq!(bill[&key("Claude Haiku 4.5", "2026-01-01")].cost, usd("0.07"));
}

#[test]
fn an_export_of_google_may_begin_with_lines_about_the_account() {
    let bill = bill(
        "Invoice number,123,\nCurrency,USD,\nService description,SKU description,Cost type,Usage start date,Usage end date,Unrounded Cost ($),Cost ($)\n\
         Vertex AI,Gemini 2.5 Pro Text Input,Usage,2026-01-01,2026-01-01,\"1,234.5678\",\"1,234.57\"\n",
    );

    assert_eq!(bill[&key("Gemini 2.5 Pro Text Input", "2026-01-01")].cost, usd("1234.5678"));
}

#[test]
fn columns_may_be_named() {
    let columns = ["day=Tag", "model=Modell", "cost_usd=Betrag"].map(|text| text.parse().unwrap());

    let bill = parse("Modell,Betrag,Tag\nm,1,1767225600\n".as_bytes(), &columns).unwrap();

    assert_eq!(bill[&key("m", "2026-01-01")].cost, usd("1"));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (row, told) in [
        ("yesterday,m,1", "line 3: `yesterday` is no day"),
        ("2026-01-01,m,x", "line 3: `x` is no amount"),
        ("2026-01-01,m,\"1,5\"", "line 3: `1,5` is no amount"),
        ("2026-01-01,m,", "line 3: `` is no amount"),
        ("2026-01-01,,1", "line 3: there is a cost and no model"),
    ] {
        let text = refusal(&format!("day,model,cost_usd\n2026-01-01,m,1\n{row}\n"));
        assert!(text.starts_with(told), "{text}");
    }
    let euros = refusal("day,model,cost_usd,currency\n2026-01-01,m,1,EUR\n");
    assert!(euros.starts_with("line 2: the amount is in EUR"), "{euros}");
    let tokens = refusal("day,model,cost_usd,input_tokens,output_tokens\n2026-01-01,m,1,-1,0\n");
    assert!(tokens.starts_with("line 2: `-1` is no number of tokens"), "{tokens}");
}

#[test]
fn a_file_without_a_header_is_told_what_it_lacks() {
    let text = refusal("when,what\n1,2\n");

    assert!(text.contains("It begins with: when, what. Say how") && text.contains("--column day="), "{text}");
    assert!(refusal("").contains("nothing"));
}

#[test]
fn a_bill_has_bounds() {
    let cells: String = (0..=MAX_CELLS).map(|n| format!("2026-01-01,m{n},1\n")).collect();
    let long = "m".repeat(MAX_NAME + 1);

    assert!(refusal(&format!("day,model,cost_usd\n{cells}")).contains("more than 10000 days of models"));
    assert!(refusal(&format!("day,model,cost_usd\n2026-01-01,{long},1\n")).contains("longer than 256"));
}
