"""What a row is: columns, forms of comparison, quotas, content groups; used by every data stage."""
